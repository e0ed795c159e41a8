// --help, made from the same tables that parse() reads. A file of its own: the generator of the manual pages and completions
// (scripts/manual/generate.cpp) puts another help() in its place and so gets at the tables of every applet.
#include <algorithm>

#include "applets/cli.h"

namespace iscsi::cli {
namespace {

// Words of `text` from column `column` on, later lines indented by `indent`.
void append_wrapped(std::string& out, std::string_view text, size_t column, size_t indent) {
    constexpr size_t width = 79;
    bool line_start = true;
    while (!text.empty()) {
        size_t blank = text.find(' ');
        std::string_view word = text.substr(0, blank);
        text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
        if (word.empty()) continue;
        if (!line_start && column + 1 + word.size() > width) {
            out += '\n';
            out.append(indent, ' ');
            column = indent;
        } else if (!line_start) {
            out += ' ';
            column++;
        }
        out += word;
        column += word.size();
        line_start = false;
    }
    out += '\n';
}

std::string heading_of(const Option& o) {
    std::string head = "  ";
    if (o.short_name) head += std::string{'-', o.short_name};
    else head += "  ";
    if (o.long_name) head += std::string(o.short_name ? ", " : "  ") + "--" + o.long_name;
    if (o.arg == Arg::none) return head;
    std::string name = o.metavar ? o.metavar : "VALUE";
    if (o.arg == Arg::optional) return head + (o.long_name ? "[=" : "[") + name + "]";
    return head + (o.long_name ? "=" : " ") + name;
}

bool concerns(const Option& o, const Mode* mode) {
    if (!o.help) return false;
    if (!mode) return true;
    if (o.short_name) return mode->letters.find(o.short_name) != std::string::npos;
    const std::string_view help(o.help), word = help.substr(0, help.find(' '));
    return !mode->name.empty() && (!word.ends_with(':') || word.substr(0, word.size() - 1) == mode->name);
}

// The lines of `text` that name the mode; all of them where none does.
std::string lines_of(std::string_view text, const Mode* mode) {
    if (!mode || mode->name.empty()) return std::string(text);
    const std::string wanted = std::string(mode->option) + std::string(mode->name) + ' ';
    std::string out;
    for (std::string_view rest = text; !rest.empty();) {
        const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
        if ((std::string(rest.substr(0, end)) + ' ').find(wanted) != std::string::npos) out += rest.substr(0, end);
        rest.remove_prefix(end);
    }
    return out.empty() ? std::string(text) : out.substr(out.find_first_not_of(' '));
}

}  // namespace

std::string help(const Interface& interface, const Mode* mode) {
    std::string out = std::string(interface.name) + " - " + interface.summary + "\n\nUsage: " + lines_of(interface.usage, mode);
    if (!out.ends_with('\n')) out += '\n';
    size_t column = 0;
    for (const Option& o : interface.options)
        if (concerns(o, mode)) column = std::max(column, heading_of(o).size());
    column = std::min<size_t>(column, 30) + 2;
    if (!interface.options.empty()) out += "\nOptions:\n";
    for (const Option& o : interface.options) {
        if (!concerns(o, mode)) continue;
        std::string head = heading_of(o);
        if (head.size() + 2 > column) {
            out += head + "\n";
            head.clear();
        }
        head.resize(column, ' ');
        out += head;
        append_wrapped(out, o.help, column, column);
    }
    if (interface.details && (!mode || mode->name.empty())) out += std::string("\n") + interface.details + (*interface.details ? "\n" : "");
    const auto end_line = [&] {
        while (out.ends_with('\n')) out.pop_back();
        out += '\n';
    };
    end_line();
    if (interface.example) {
        out += "\nExamples:";
        for (bool begins = true; const char c : "\n" + lines_of(interface.example, mode)) {
            if (begins && c != ' ' && c != '\n') out += "  ";
            begins = c == '\n';
            out += c;
        }
        end_line();
    }
    return out;
}

}  // namespace iscsi::cli
