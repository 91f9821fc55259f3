# Compiler, warnings, instruction set, ccache, and where programs land.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

find_program(MOAT_CCACHE ccache)
if(MOAT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MOAT_CCACHE})
endif()

# Contraction into fused multiply-adds would make bits depend on what the compiler inlined.
foreach(option -Wall -Wextra -Werror -Wno-unused-parameter -ffp-contract=off)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:${option}>)
endforeach()

set(MOAT_SANITIZE "" CACHE STRING "Comma-separated sanitizers, as in -fsanitize=")
if(MOAT_SANITIZE)
  # What a sanitizer finds ends the program. -O1: checks multiply both compile and run time. GCC warns of
  # uninitialised memory in code that only its own checks made hard to follow. Checks of null and alignment at every
  # access double the time to compile code that reads JSON; AddressSanitizer finds what is read through null.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  foreach(option -fsanitize=${MOAT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
                 -fno-sanitize=null,alignment -Wno-maybe-uninitialized)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:${option}>)
  endforeach()
  add_link_options(-fsanitize=${MOAT_SANITIZE})
endif()
