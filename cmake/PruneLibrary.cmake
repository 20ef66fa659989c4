# The headers of LLVM and MLIR that most sources read, compiled once for all libraries: they are over half of the time
# that a source takes.
if(PRUNE_PRECOMPILE_HEADERS)
  add_library(prune-precompiled OBJECT ${CMAKE_CURRENT_LIST_DIR}/Precompiled.cpp)
  target_precompile_headers(prune-precompiled PRIVATE ${CMAKE_CURRENT_LIST_DIR}/Precompiled.h)
  set_target_properties(prune-precompiled PROPERTIES PCH_WARN_INVALID ON)
endif()

# prune_add_library(NAME sources... [DEPENDS targets...] [LINK_LIBS libs...])
#
# A static library of this project. Everything of LLVM and MLIR comes from the shared libMLIR and libLLVM: one copy in
# each process, which plugins need. Never link the static archives of MLIR beside it.
function(prune_add_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  add_library(prune::${name} ALIAS ${name})
  # The generated headers of all dialects and passes: any source may include any of them.
  add_dependencies(${name} prune-headers ${ARG_DEPENDS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS} MLIR LLVM)
  if(PRUNE_PRECOMPILE_HEADERS AND "${ARG_UNPARSED_ARGUMENTS}" MATCHES "[.]cpp")
    target_precompile_headers(${name} REUSE_FROM prune-precompiled)
  endif()
  target_include_directories(${name} SYSTEM INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:include>)
  set_property(GLOBAL APPEND PROPERTY PRUNE_LIBS ${name})
  install(TARGETS ${name} EXPORT PruneTargets ARCHIVE DESTINATION lib)
endfunction()

# prune_add_tool(NAME sources... [LINK_LIBS libs...]): an installed executable.
function(prune_add_tool name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} MLIR LLVM)
  add_dependencies(${name} prune-headers)
  install(TARGETS ${name} EXPORT PruneTargets RUNTIME DESTINATION bin)
endfunction()
