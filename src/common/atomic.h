/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Atomic access: to members of our own declared _Atomic through <stdatomic.h>, and to integers that
 * lie in memory shared with a guest through the functions here. The pointers must be aligned.
 */
#ifndef VHU_ATOMIC_H
#define VHU_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

static inline uint16_t vhu__load_acquire_u16(const uint16_t *p)
{
    return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_acquire);
}

static inline uint16_t vhu__load_relaxed_u16(const uint16_t *p)
{
    return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_relaxed);
}

static inline void vhu__store_release_u16(uint16_t *p, uint16_t value)
{
    atomic_store_explicit((_Atomic uint16_t *)p, value, memory_order_release);
}

static inline void vhu__store_relaxed_u16(uint16_t *p, uint16_t value)
{
    atomic_store_explicit((_Atomic uint16_t *)p, value, memory_order_relaxed);
}

static inline uint64_t vhu__load_relaxed_u64(const uint64_t *p)
{
    return atomic_load_explicit((const _Atomic uint64_t *)p, memory_order_relaxed);
}

/* Set bits, which whoever sees them takes for all that was stored before. */
static inline void vhu__or_release_u64(uint64_t *p, uint64_t bits)
{
    atomic_fetch_or_explicit((_Atomic uint64_t *)p, bits, memory_order_release);
}

/* Keep these bits, and see what was stored before the others were set. What there was. */
static inline uint64_t vhu__and_acquire_u64(uint64_t *p, uint64_t bits)
{
    return atomic_fetch_and_explicit((_Atomic uint64_t *)p, bits, memory_order_acquire);
}

/*
 * For stores that another process will see once this one is gone: those before are done first. The
 * processor keeps that order for what it has done at all, so this binds the compiler alone.
 */
static inline void vhu__program_order(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* What was stored before is visible before anything is loaded after. */
static inline void vhu__full_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

#endif
