# install_executable(name module): one executable each, from one template.

# Whoever starts a node need not have the environment activated that it was built in: with an active virtual
# environment, CMake finds the python of that. Empty in a wheel, whose executables find the python beside them.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(NODE_PYTHON "${Python3_EXECUTABLE}" CACHE FILEPATH "Python of the nodes where none lies in their prefix")
set(EXECUTABLE_TEMPLATE "${CMAKE_CURRENT_LIST_DIR}/executable.in")

function(install_executable name module)
  set(MODULE "${module}")
  # The run bit is set in the build folder already, as `colcon build --symlink-install` links to it there.
  set(executable "${CMAKE_CURRENT_BINARY_DIR}/executables/${name}")
  configure_file("${EXECUTABLE_TEMPLATE}" "${executable}" @ONLY
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  install(PROGRAMS "${executable}" DESTINATION lib/${PROJECT_NAME})
endfunction()
