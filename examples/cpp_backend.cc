/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The entropy device (virtio-rng) in C++11: objects of the library are freed by their owners, and a
 * device is a class whose functions the library calls. It serves one front-end, with a loop of its
 * own.
 *
 *     cpp_backend /tmp/rng.sock
 */
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <vmm_vhost/vmm_vhost.h>

namespace
{

/* An error of the library as an exception. */
int check(int result)
{
    if (result < 0)
        throw std::runtime_error(vhu_strerror(result));
    return result;
}

struct release {
    void operator()(vhu_device *device) const
    {
        vhu_device_free(device);
    }
    void operator()(vhu_listener *listener) const
    {
        vhu_listener_free(listener);
    }
    void operator()(vhu_conn *conn) const
    {
        vhu_conn_free(conn);
    }
};

template <typename T> using owned = std::unique_ptr<T, release>;

class entropy_device
{
  public:
    entropy_device()
    {
        vhu_device_options options = {};
        vhu_device_ops ops = {};
        vhu_device *device;

        options.size = sizeof(options);
        options.num_rings = 1;
        ops.size = sizeof(ops);
        ops.handle_ring = [](void *self, vhu_ring *ring) {
            static_cast<entropy_device *>(self)->handle_ring(ring);
        };
        check(vhu_device_new(&device, &options, &ops, this, nullptr, nullptr));
        device_.reset(device);
    }

    /* The library knows its address. */
    entropy_device(const entropy_device &) = delete;
    entropy_device &operator=(const entropy_device &) = delete;

    /* Serve a front-end until it goes, and say why. */
    int serve(owned<vhu_conn> conn)
    {
        vhu_conn *given = conn.get();
        vhu_backend_server *server;

        check(vhu_device_connect(device_.get(), &given, &server));
        (void)conn.release(); /* it has been taken */

        int r = VHU_EAGAIN;
        while (r == 0 || r == VHU_EAGAIN)
            r = turn(server, r == VHU_EAGAIN);
        check(vhu_device_disconnect(device_.get(), nullptr, nullptr));
        return r;
    }

  private:
    int turn(vhu_backend_server *server, bool may_sleep)
    {
        vhu_conn *conn = vhu_backend_server_conn(server);
        vhu_ring *ring = vhu_device_ring(device_.get(), 0);
        vhu_wait waits[] = {
            {vhu_conn_wait_handle(conn), vhu_conn_wait_events(conn), false},
            {vhu_ring_kick_handle(ring), VHU_WAIT_READ, false},
        };

        if (may_sleep && vhu_device_may_sleep(device_.get(), 0))
            vhu_wait_any(waits, 2, vhu_conn_deadline_ms(conn));
        vhu_ring_kicked(ring);
        while (vhu_device_poll(device_.get(), 0))
            continue;
        vhu_device_settle(device_.get());
        return vhu_backend_server_serve(server);
    }

    /* Called by C: no exception may leave it. */
    void handle_ring(vhu_ring *ring) noexcept
    {
        std::array<vhu_buf, 16> bufs;
        vhu_chain chain = {};

        chain.bufs = bufs.data();
        chain.capacity = static_cast<uint32_t>(bufs.size());
        while (vhu_ring_take(ring, &chain, 1) == 1) {
            chain.written = chain.num_writable > 0 ? fill(bufs[chain.num_readable]) : 0;
            vhu_ring_complete(ring, &chain, 1);
        }
        vhu_ring_flush(ring);
    }

    /* At most 64 bytes of it: how many. */
    uint32_t fill(const vhu_buf &buf) noexcept
    {
        unsigned numbers[64 / sizeof(unsigned)];
        const std::size_t len = buf.len < sizeof(numbers) ? buf.len : sizeof(numbers);

        try {
            for (unsigned &number : numbers)
                number = random_();
        } catch (const std::exception &) {
            return 0;
        }
        std::memcpy(buf.base, numbers, len);
        return static_cast<uint32_t>(len);
    }

    std::random_device random_;
    owned<vhu_device> device_; /* last: it goes first */
};

owned<vhu_listener> listen_on(const char *address)
{
    vhu_listener *listener;

    check(vhu_listener_new(&listener, address, nullptr));
    return owned<vhu_listener>(listener);
}

owned<vhu_conn> accept(vhu_listener *listener)
{
    vhu_conn *conn;

    check(vhu_listener_wait(listener, -1));
    check(vhu_listener_accept(listener, &conn));
    return owned<vhu_conn>(conn);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: cpp_backend SOCKET\n");
        return 1;
    }
    try {
        entropy_device device;
        const owned<vhu_listener> listener = listen_on(argv[1]);
        const int end = device.serve(accept(listener.get()));

        std::printf("the front-end has gone: %s\n", vhu_strerror(end));
    } catch (const std::exception &error) {
        std::fprintf(stderr, "cpp_backend: %s\n", error.what());
        return 1;
    }
    return 0;
}
