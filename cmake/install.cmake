# SPDX-License-Identifier: BSD-3-Clause
# What is installed beside libraries (src) and programs (tools).

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vmm_vhost)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY include/vmm_vhost DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)

install(EXPORT vmm_vhost NAMESPACE vmm_vhost:: FILE vmm_vhost-targets.cmake DESTINATION ${package_dir} COMPONENT dev)
install(EXPORT vmm_vhost_uv NAMESPACE vmm_vhost:: FILE vmm_vhost-uv-targets.cmake DESTINATION ${package_dir} COMPONENT dev)
configure_package_config_file(cmake/vmm_vhost-config.cmake.in ${PROJECT_BINARY_DIR}/vmm_vhost-config.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# As the ABI: before 1.0 a minor version breaks with the one before.
set(compatible SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(compatible SameMinorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vmm_vhost-config-version.cmake COMPATIBILITY ${compatible})
install(FILES cmake/libuv.cmake ${PROJECT_BINARY_DIR}/vmm_vhost-config.cmake
    ${PROJECT_BINARY_DIR}/vmm_vhost-config-version.cmake DESTINATION ${package_dir} COMPONENT dev)

file(RELATIVE_PATH to_prefix /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" to_prefix ${to_prefix})
list(TRANSFORM VHU_SYSTEM_LIBRARIES PREPEND " -l" OUTPUT_VARIABLE private_libraries)
list(JOIN private_libraries "" private_libraries)
foreach(name vmm_vhost vmm_vhost-uv)
    configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkgconfig_dir} COMPONENT dev)
endforeach()

# The DLL of vmm_vhost_uv needs that of libuv.
if(TARGET vhu::uv_shared)
    get_target_property(libuv vhu::uv_shared INTERFACE_LINK_LIBRARIES)
    get_target_property(type ${libuv} TYPE)
    if(type STREQUAL "SHARED_LIBRARY")
        install(IMPORTED_RUNTIME_ARTIFACTS ${libuv} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT uv)
    endif()
endif()

install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev)
