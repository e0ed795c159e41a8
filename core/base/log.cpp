#include "core/base/log.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace iscsi::log {
namespace {

// The one piece of process-wide state the project allows itself (with the signal fd).
struct State {
    const char* name = "iscsi";
    Sink sink = Sink::foreground;
    std::atomic<int> level{int(Level::info)};
    int syslog_fd = -1;
} state;

void connect_syslog() {
    state.syslog_fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "/dev/log");
    if (state.syslog_fd >= 0 &&
        ::connect(state.syslog_fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        ::close(state.syslog_fd);
        state.syslog_fd = -1;
    }
}

void write_line(Level level, const char* format, va_list arguments) {
    if (!enabled(level)) return;
    char line[1200];
    int head = 0;
    if (state.sink == Sink::syslog)     // facility daemon (3)
        head = std::snprintf(line, sizeof line, "<%d>%s[%d]: ", 3 * 8 + int(level), state.name, int(getpid()));
    else
        head = std::snprintf(line, sizeof line, "%s: ", state.name);
    int body = std::vsnprintf(line + head, sizeof line - size_t(head) - 1, format, arguments);
    if (body < 0) return;
    size_t length = size_t(head) + size_t(body);
    if (length > sizeof line - 2) length = sizeof line - 2;
    for (size_t i = size_t(head); i < length; i++)      // text from the network stays one printable line
        if (static_cast<unsigned char>(line[i]) < 0x20 || line[i] == 0x7f) line[i] = '?';
    if (state.sink == Sink::syslog) {
        if (state.syslog_fd >= 0) (void)!::send(state.syslog_fd, line, length, MSG_NOSIGNAL);
    } else {
        line[length++] = '\n';
        (void)!::write(STDERR_FILENO, line, length);
    }
}

}  // namespace

void open(const char* name, Sink sink, Level most_verbose) {
    state.name = name;
    state.sink = sink;
    set_level(most_verbose);
    if (sink == Sink::syslog && state.syslog_fd < 0) connect_syslog();
}
void set_level(Level most_verbose) { state.level.store(int(most_verbose), std::memory_order_relaxed); }
bool enabled(Level level) {
    return state.sink != Sink::quiet && int(level) <= state.level.load(std::memory_order_relaxed);
}

#define ISCSI_LOG_LEVEL(name)                          \
    void name(const char* format, ...) {               \
        va_list arguments;                             \
        va_start(arguments, format);                   \
        write_line(Level::name, format, arguments);    \
        va_end(arguments);                             \
    }
ISCSI_LOG_LEVEL(error)
ISCSI_LOG_LEVEL(warning)
ISCSI_LOG_LEVEL(info)
ISCSI_LOG_LEVEL(debug)

}  // namespace iscsi::log
