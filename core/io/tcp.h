// What a TCP connection that carries storage traffic wants of its congestion control.
#pragma once
#include <string>

namespace iscsi::io {

// "auto": the system's choice, except that a peer less than 1 ms away (the least round trip so far: call it after a few) is not
// paced: BBR sends by a timer what it could send at once. Server CPU for a 1 MiB read by sendfile, loopback, BBR against CUBIC:
// 222 us and 61 us, 1,480 and 8,460 reads/s.
// "system": the system's choice. Anything else: that algorithm; false and errno if the kernel does not have it or does not
// allow it to us. REQUIRES, for "auto", a connected socket.
bool choose_congestion_control(int socket, const std::string& wanted);

}  // namespace iscsi::io
