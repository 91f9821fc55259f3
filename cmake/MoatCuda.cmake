# CUDA, NCCL and cuDNN's headers, where they are. Sets MOAT_HAVE_CUDA, MOAT_HAVE_NCCL and MOAT_HAVE_CUDNN, which only the CMakeLists that choose
# between a backend and its no_*.cc twin read, and rundir's, whose capsule says what was built.
#
#   MOAT_CUDA=AUTO  built when nvcc, the runtime and cuBLASLt are found; OFF under sanitizers, which the CUDA
#                   runtime's address space does not go with
#   MOAT_CUDA=ON    an error when they are not found
#   MOAT_CUDA=OFF   never
# CMAKE_CUDA_ARCHITECTURES: 90 (Hopper) unless set; a list builds for several ("80;90").
set(MOAT_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO, ON or OFF")
set_property(CACHE MOAT_CUDA PROPERTY STRINGS AUTO ON OFF)
set(MOAT_HAVE_CUDA OFF)
set(MOAT_HAVE_NCCL OFF)
set(MOAT_HAVE_CUDNN OFF)
set(moat_wants_cuda ${MOAT_CUDA})
if(MOAT_CUDA STREQUAL "AUTO" AND MOAT_SANITIZE)
  set(moat_wants_cuda OFF)
endif()

if(moat_wants_cuda)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(MOAT_NVCC nvcc HINTS ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(MOAT_NVCC)
      set(CMAKE_CUDA_COMPILER ${MOAT_NVCC} CACHE FILEPATH "The CUDA compiler")
    endif()
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "Compute capabilities to build for")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit)
  endif()
  if(CMAKE_CUDA_COMPILER AND TARGET CUDA::cudart_static AND TARGET CUDA::cublasLt)
    set(MOAT_HAVE_CUDA ON)
  elseif(MOAT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MOAT_CUDA=ON needs nvcc, the CUDA runtime and cuBLASLt: put nvcc into PATH or set CUDACXX, "
                        "or build with MOAT_CUDA=OFF")
  endif()
endif()

if(MOAT_HAVE_CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc takes it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O2")
  if(MOAT_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${MOAT_CCACHE})
  endif()
  # The host's warnings are for what nvcc lets the host compiler see; its own front end has warnings of its own.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>"
                      "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Werror,-Wno-unused-parameter>")
  # System headers: nvcc's warn under our flags. The runtime is static, so that a program without a GPU needs no
  # library for it; cuBLASLt and NCCL are the node's.
  add_library(moat_dep_cuda INTERFACE)
  add_library(moat_dep::cuda ALIAS moat_dep_cuda)
  target_include_directories(moat_dep_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(moat_dep_cuda INTERFACE CUDA::cudart_static CUDA::cublasLt)

  # Headers only: the library is found when a program runs.
  find_path(MOAT_CUDNN_INCLUDE cudnn_graph_v9.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(MOAT_CUDNN_INCLUDE)
    set(MOAT_HAVE_CUDNN ON)
    target_include_directories(moat_dep_cuda SYSTEM INTERFACE ${MOAT_CUDNN_INCLUDE})
  endif()

  find_path(MOAT_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(MOAT_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(MOAT_NCCL_INCLUDE AND MOAT_NCCL_LIBRARY)
    set(MOAT_HAVE_NCCL ON)
    add_library(moat_dep_nccl INTERFACE)
    add_library(moat_dep::nccl ALIAS moat_dep_nccl)
    target_include_directories(moat_dep_nccl SYSTEM INTERFACE ${MOAT_NCCL_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(moat_dep_nccl INTERFACE ${MOAT_NCCL_LIBRARY} CUDA::cudart_static)
  endif()
  message(STATUS "CUDA backend: ${CUDAToolkit_VERSION} for sm_${CMAKE_CUDA_ARCHITECTURES}, NCCL: ${MOAT_HAVE_NCCL}, cuDNN: ${MOAT_HAVE_CUDNN}")
else()
  message(STATUS "CUDA backend: not built (MOAT_CUDA=${MOAT_CUDA})")
endif()
