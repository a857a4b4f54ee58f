# SPDX-License-Identifier: BSD-3-Clause
# What every target of ours is compiled with.

function(vhu_compile_options target)
    target_compile_options(${target} PRIVATE
        -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
        -Wvla -Wundef -Wpointer-arith -Wcast-qual -Wformat=2
        $<$<BOOL:${VHU_WERROR}>:-Werror>)
    if(VHU_SANITIZE)
        target_compile_options(${target} PRIVATE
            -fsanitize=${VHU_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
        target_link_options(${target} PUBLIC -fsanitize=${VHU_SANITIZE})
    endif()
    if(VHU_COVERAGE)
        target_compile_options(${target} PRIVATE --coverage)
        target_link_options(${target} PUBLIC --coverage)
    endif()
endfunction()

# A library, static (name) and shared (name_shared), of the same sources.
function(vhu_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;INCLUDES;DEFINITIONS;LINK" ${ARGN})
    foreach(kind STATIC SHARED)
        set(target ${name})
        set(suffix "")
        if(kind STREQUAL SHARED)
            set(target ${name}_shared)
            set(suffix _shared)
        endif()
        add_library(${target} ${kind} ${ARG_SOURCES})
        vhu_compile_options(${target})
        target_include_directories(${target} PUBLIC
            $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
        target_include_directories(${target} PRIVATE ${ARG_INCLUDES})
        target_compile_definitions(${target} PRIVATE ${ARG_DEFINITIONS})
        foreach(dependency ${ARG_LINK})
            if(TARGET ${dependency}${suffix})
                target_link_libraries(${target} PUBLIC ${dependency}${suffix})
            else()
                target_link_libraries(${target} PUBLIC ${dependency})
            endif()
        endforeach()
        set_target_properties(${target} PROPERTIES
            OUTPUT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
        install(TARGETS ${target}
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    endforeach()
endfunction()

# A program on the static libraries.
function(vhu_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    vhu_compile_options(${name})
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
    target_link_libraries(${name} PRIVATE ${ARG_LINK})
endfunction()
