/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole library but its libuv driver, which is vmm_vhost/uv.h. */
#ifndef VMM_VHOST_VMM_VHOST_H
#define VMM_VHOST_VMM_VHOST_H

#include <vmm_vhost/backend.h>
#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/conn.h>
#include <vmm_vhost/describe.h>
#include <vmm_vhost/device.h>
#include <vmm_vhost/device_share.h>
#include <vmm_vhost/driver.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/frontend.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/memory.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/queue.h>
#include <vmm_vhost/remote.h>
#include <vmm_vhost/remote_log.h>
#include <vmm_vhost/remote_postcopy.h>
#include <vmm_vhost/shm.h>
#include <vmm_vhost/stream.h>
#include <vmm_vhost/transport.h>
#include <vmm_vhost/types.h>
#include <vmm_vhost/version.h>
#include <vmm_vhost/wait.h>

#endif
