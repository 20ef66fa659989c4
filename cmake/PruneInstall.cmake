# Installs headers and a package file, so that others write find_package(prune) and link prune::PruneAll.
include(CMakePackageConfigHelpers)
install(DIRECTORY include/ DESTINATION include FILES_MATCHING PATTERN "*.h" PATTERN "*.td")
install(DIRECTORY ${PROJECT_BINARY_DIR}/include/ DESTINATION include FILES_MATCHING PATTERN "*.inc")
install(EXPORT PruneTargets NAMESPACE prune:: DESTINATION lib/cmake/prune)
configure_package_config_file(cmake/pruneConfig.cmake.in ${PROJECT_BINARY_DIR}/pruneConfig.cmake
  INSTALL_DESTINATION lib/cmake/prune)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pruneConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pruneConfig.cmake ${PROJECT_BINARY_DIR}/pruneConfigVersion.cmake
  DESTINATION lib/cmake/prune)
