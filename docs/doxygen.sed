# SPDX-License-Identifier: BSD-3-Clause
#
# Doxygen's filter for Markdown: links to headers lead to their pages, those to other files to
# copies beside the pages, those to headings to their pages: it has other names for headings.
/^- \[[^]]*\](#[a-z-]*)$/d
s,\(\.md\)#[a-z-]*),\1),g
s,](\(\.\./\)*include/vmm_vhost/\([a-z_]*\.h\)),](@ref \2),g
s,](\(\.\./\)*examples/\([a-z_]*\.[a-z]*\)),](\2),g
