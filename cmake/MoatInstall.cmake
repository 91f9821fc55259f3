# cmake --install build --prefix DIR [--strip]: a tree that may be moved and carried to a bare node.
#
#   bin/      the programs, mpirun, and moat-env, which gives a command this tree's Open MPI
#   lib/      the libraries they need, Open MPI's plugins among them; not glibc, the driver, cuBLASLt or NCCL, which
#             are the node's
#   configs/  the presets
#   share/    Open MPI's help texts; moat/mpi.env says where in the tree its parts lie
#   tests/gpu the tests and benches that want a GPU, with their script; tests/integration and tests/support what it runs besides
# Nothing in it names the place it was installed to: libraries are found relative to the file that needs them.
set(installed_programs moat moat-data moat-train moat-model moat-probe)
set(node_libraries /usr/local/cuda/lib64)  # where CUDA's libraries are by default, if not in the system's own paths
set_target_properties(${installed_programs} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib:${node_libraries}")
install(TARGETS ${installed_programs} RUNTIME DESTINATION bin)
install(PROGRAMS ${PROJECT_SOURCE_DIR}/cmake/moat-env DESTINATION bin)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs/ DESTINATION configs FILES_MATCHING PATTERN "*.flags" PATTERN "*.rules")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/moat)
if(MOAT_TESTS)
  set(installed_tests gpu_ops_test gpu_collectives_test bench_collectives)
  if(TARGET bench_train)
    list(APPEND installed_tests bench_ops bench_train)
  endif()
  set_target_properties(${installed_tests} PROPERTIES INSTALL_RPATH "$ORIGIN/../../lib:${node_libraries}")
  install(TARGETS ${installed_tests} RUNTIME DESTINATION tests/gpu)
  install(PROGRAMS ${PROJECT_SOURCE_DIR}/tests/gpu/run ${PROJECT_SOURCE_DIR}/tests/gpu/pytorch_peer.py
          DESTINATION tests/gpu)
  install(PROGRAMS ${PROJECT_SOURCE_DIR}/tests/integration/device_cuda_test.py DESTINATION tests/integration)
  install(FILES ${PROJECT_SOURCE_DIR}/tests/support/training_run.py DESTINATION tests/support)
endif()
# What was installed, for moat version and for those who read results.
install(CODE "execute_process(COMMAND git -C \"${PROJECT_SOURCE_DIR}\" rev-parse HEAD
                OUTPUT_FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/moat/commit\" ERROR_QUIET)")

find_program(MOAT_PATCHELF patchelf)
set(built_programs)
foreach(target ${installed_programs} ${installed_tests})
  list(APPEND built_programs "$<TARGET_FILE:${target}>")
endforeach()
install(CODE "set(MOAT_BUILT_PROGRAMS \"${built_programs}\")\nset(MOAT_PATCHELF \"${MOAT_PATCHELF}\")")
install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/InstallLibraries.cmake)
