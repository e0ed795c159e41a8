// What stands in for parts of glibc that a static link brings along without need: libc.opts puts them in their place.
#include <cstdarg>
#include <cstdint>

extern "C" {

// dcgettext(3): strerror(3) and its like look for a translation. There are no catalogues.
char* iscsi_untranslated(const char*, const char* message, int) { return const_cast<char*>(message); }

// Frees at the end of a thread what was never made.
void iscsi_nothing() {}

// sscanf(3) as far as tzset(3) uses it to read TZ: characters, %hu and %n. The whole of it is 95 KB.
int iscsi_scan(const char* text, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char* at = text;
    int count = 0;
    for (; *format; format++) {
        if (format[0] == '%' && format[1] == 'n') {
            *va_arg(arguments, int*) = int(at - text);
            format++;
        } else if (format[0] == '%' && format[1] == 'h' && format[2] == 'u') {
            if (*at < '0' || *at > '9') break;
            unsigned value = 0;
            for (; *at >= '0' && *at <= '9'; at++) value = value * 10 + unsigned(*at - '0');
            *va_arg(arguments, unsigned short*) = uint16_t(value);
            count++;
            format += 2;
        } else if (*at++ != *format) {
            break;
        }
    }
    va_end(arguments);
    return count;
}

}  // extern "C"
