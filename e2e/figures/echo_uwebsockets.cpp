// The echo server of uWebSockets, for comparison: opcodes are kept, nothing is compressed, no TLS. Argument: port,
// 0 for any. Prints the address that it has bound. Built by e2e/figures/echo.sh.
#include <cstdio>
#include <cstdlib>

#include "App.h"

struct Session {};

int main(int count, char **arguments) {
    uWS::App()
        .ws<Session>("/*", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 16 << 20,
            .maxBackpressure = 16 << 20,
            .message = [](auto *socket, std::string_view message, uWS::OpCode opcode) { socket->send(message, opcode, false); },
        })
        .listen("127.0.0.1", count > 1 ? std::atoi(arguments[1]) : 0, [](auto *listening) {
            if (!listening) {
                std::exit(1);
            }
            std::printf("127.0.0.1:%d\n", us_socket_local_port(0, (us_socket_t *) listening));
            std::fflush(stdout);
        })
        .run();
}
