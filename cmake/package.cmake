# SPDX-License-Identifier: BSD-3-Clause
# Packages by CPack: .deb (a package for each component) and .tar.gz on Linux, .zip on Windows.

set(CPACK_PACKAGE_NAME vmm_vhost)
set(CPACK_PACKAGE_VENDOR vmm_vhost)
set(CPACK_PACKAGE_CONTACT "The maintainers of vmm_vhost <maintainers@vmm-vhost.invalid>" CACHE STRING "Of packages")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "vhost-user for virtual machine monitors and their device processes")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL core uv dev tools)
set(CPACK_COMPONENTS_GROUPING IGNORE)

# In the names of archives, of which one is for one system, processor and, on Windows, compiler.
string(TOLOWER ${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR} CPACK_SYSTEM_NAME)
if(MSVC)
    string(APPEND CPACK_SYSTEM_NAME -msvc)
elseif(MINGW)
    string(APPEND CPACK_SYSTEM_NAME -mingw)
endif()
if(WIN32)
    set(CPACK_GENERATOR ZIP)
else()
    set(CPACK_GENERATOR TGZ DEB)
endif()

# vhu_deb(component name section description [DEPENDS...])
macro(vhu_deb component name section description)
    string(TOUPPER ${component} id)
    set(CPACK_DEBIAN_${id}_PACKAGE_NAME ${name})
    set(CPACK_DEBIAN_${id}_PACKAGE_SECTION ${section})
    set(CPACK_COMPONENT_${id}_DESCRIPTION ${description})
    string(JOIN ", " CPACK_DEBIAN_${id}_PACKAGE_DEPENDS ${ARGN})
    if(NOT WIN32)
        # Debian's place for it; not in other packages.
        install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} RENAME copyright
            COMPONENT ${component} EXCLUDE_FROM_ALL)
    endif()
endmacro()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(core libvmm-vhost${VHU_ABI})
set(uv libvmm-vhost-uv${VHU_ABI})
vhu_deb(core ${core} libs "vhost-user, both roles, on any loop: the library")
vhu_deb(uv ${uv} libs "vhost-user on libuv: the library" "${core} (>= ${PROJECT_VERSION})")
vhu_deb(dev libvmm-vhost-dev libdevel "vhost-user: headers, static libraries, CMake's and pkg-config's files"
    "${core} (= ${PROJECT_VERSION})" "${uv} (= ${PROJECT_VERSION})" "libuv1-dev (>= 1.44)")
vhu_deb(tools vmm-vhost-tools utils "vhost-user back-ends (a disk, a network, random bytes), a tracer and a probe")

include(CPack)
