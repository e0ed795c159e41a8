#include "core/io/tcp.h"

#include <linux/tcp.h>      // the C library's tcp_info ends before tcpi_min_rtt
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace iscsi::io {

namespace {

constexpr uint32_t near_us = 1000;

bool set(int socket, const char* name) {
    return ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, socklen_t(std::strlen(name))) == 0;
}

}  // namespace

bool choose_congestion_control(int socket, const std::string& wanted) {
    if (wanted == "system") return true;
    if (wanted != "auto") return set(socket, wanted.c_str());
    char current[16] = "";                  // TCP_CA_NAME_MAX
    socklen_t length = sizeof current - 1;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, current, &length) != 0 || std::strncmp(current, "bbr", 3) != 0)
        return true;
    tcp_info info{};
    length = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_min_rtt >= near_us) return true;
    return set(socket, "cubic") || set(socket, "reno");
}

}  // namespace iscsi::io
