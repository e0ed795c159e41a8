// Writes the manual pages and the shell completions. Built beside the binary, run by the build, not shipped. Its own
// cli::help() stands in for the one in applets/help.cpp, so asking an applet for --help hands over the applet's tables.
//
//   generate OUT_DIR TEXT_DIR DATE      OUT_DIR/man/manN/PAGE.N, OUT_DIR/completions/{bash,zsh,fish}
//
// TEXT_DIR/PAGE.N.part is appended to a page before SEE ALSO: what no table holds. The keys of node records and iscsid.conf
// come from core/config/record_keys.h, the exit codes of iscsiadm from the initiator's list of errors.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/base/file.h"
#include "core/config/record_keys.h"
#include "core/initiator/initiator_error.h"
#include "scripts/manual/shells.h"

namespace iscsi::cli {

const Interface* asked_for = nullptr;

std::string help(const Interface& interface, const Mode*) {
    asked_for = &interface;
    return "";
}

}  // namespace iscsi::cli

namespace iscsi::manual {
namespace {

using cli::Arg;
using cli::Interface;
using cli::Option;

std::string page_name(const Command& c) { return c.word.empty() ? c.program : c.program + "-" + c.word; }

// Text of a roff page: nothing in it is a request, dashes stay dashes. `joined` makes one line of it.
std::string roff(std::string_view text) {
    std::string out;
    bool line_start = true;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (line_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '-') out += "\\-";
        else if (c == '\\') out += "\\e";
        else if (text.compare(i, 3, "\xe2\x80\xa6") == 0) out += "...", i += 2;
        else out += c;
        line_start = c == '\n';
    }
    return out;
}

// Plain text as pages show it: lines that begin with a blank keep their shape, an empty line ends a paragraph. A new
// sentence begins a line, as roff wants it.
std::string paragraphs(std::string_view text) {
    std::string out;
    bool kept = false, fresh = true;
    auto keep = [&](bool on) {
        if (on == kept) return;
        out += on ? ".PP\n.nf\n" : ".fi\n";
        if (!on) fresh = true;
        kept = on;
    };
    while (!text.empty()) {
        size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty()) {
            keep(false);
            fresh = true;
            continue;
        }
        keep(line[0] == ' ');
        if (!kept && fresh && !out.empty()) out += ".PP\n";
        fresh = false;
        std::string shown = roff(line);
        if (!kept)
            for (size_t at; (at = shown.find(". ")) != std::string::npos;) shown.replace(at, 2, ".\n");
        out += shown + "\n";
    }
    keep(false);
    return out;
}

std::string option_entry(const Option& o) {
    std::string head;
    const std::string value = o.arg == Arg::none ? "" : roff(o.metavar ? o.metavar : "VALUE");
    auto with = [&](const char* joint) {
        if (value.empty()) return std::string();
        const std::string word = "\\fI" + value + "\\fR";
        if (o.arg == Arg::optional) return "[" + std::string(joint) + word + "]";
        return (*joint ? std::string(joint) : " ") + word;
    };
    if (o.short_name) head += "\\fB\\-" + std::string(1, o.short_name) + "\\fR" + (o.long_name ? "" : with(""));
    if (o.long_name) head += (head.empty() ? "" : ", ") + std::string("\\fB\\-\\-") + roff(o.long_name) + "\\fR" + with("=");
    return ".TP\n" + head + "\n" + roff(o.help) + ".\n";
}

std::string example_block(const char* text) {
    std::string out = ".nf\n";
    std::string_view rest = text;
    while (!rest.empty()) {
        size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        while (!line.empty() && line[0] == ' ') line.remove_prefix(1);
        if (!line.empty()) out += roff(line) + "\n";
    }
    return out + ".fi\n";
}

std::string synopsis(const Interface& interface, const std::string& program) {
    std::string out;
    std::string_view rest = interface.usage;
    while (!rest.empty()) {
        size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        while (!line.empty() && line[0] == ' ') line.remove_prefix(1);
        if (!out.empty()) out += ".br\n";
        if (line.compare(0, program.size(), program) == 0)
            out += ".B " + roff(program) + "\n" + (line.size() > program.size() ? roff(line.substr(program.size() + 1)) + "\n" : "");
        else out += roff(line) + "\n";
    }
    return out;
}

// The keys of one list as definition entries: type, default, words.
struct Key { const char* name; const char* type; const char* initial; const char* words; size_t words_size; };

std::string key_entries(const std::vector<Key>& keys) {
    std::string out;
    for (const Key& k : keys) {
        std::string what;
        if (std::strcmp(k.type, "word") == 0) {
            for (size_t i = 0; i + 1 < k.words_size; i += std::strlen(k.words + i) + 1) what += (what.empty() ? "" : " or ") + std::string(k.words + i);
        } else if (std::strcmp(k.type, "algs") == 0) {
            what = "CHAP algorithms, strongest first, separated by commas";
        } else {
            what = std::strcmp(k.type, "number") == 0 ? "a number" : "text";
        }
        out += ".TP\n\\fB" + roff(k.name) + "\\fR\n" + roff(what) + "; " + (*k.initial ? "default \\fB" + roff(k.initial) + "\\fR" : "empty by default") + ".\n";
    }
    return out;
}

#define KEY(id, name, type, initial, words, flags) {name, #type, initial, words, sizeof words},
const std::vector<Key> node_keys = {ISCSI_NODE_HEAD_KEYS(KEY) ISCSI_NODE_KEYS(KEY)};
const std::vector<Key> iface_keys = {ISCSI_IFACE_KEYS(KEY)};
const std::vector<Key> discovery_keys = {ISCSI_DISCOVERY_HEAD_KEYS(KEY) ISCSI_SENDTARGETS_AUTH_KEYS(KEY) ISCSI_SENDTARGETS_KEYS(KEY) ISCSI_ISNS_KEYS(KEY)};
#undef KEY

// "@NODE_KEYS@", "@IFACE_KEYS@", "@DISCOVERY_KEYS@", "@ERRORS@" and "@DATE@" on lines of their own become tables.
std::string expand(std::string text, const std::string& date) {
    auto put = [&](const char* mark, const std::string& with) {
        for (size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, std::strlen(mark), with);
    };
    std::string errors;
    for (int n = 0; n < initiator::initiator_error_count; n++)
        errors += ".TP\n\\fB" + std::to_string(n) + "\\fR\n" + roff(initiator::text(initiator::InitiatorError(n))) + ".\n";
    put("@NODE_KEYS@\n", key_entries(node_keys));
    put("@IFACE_KEYS@\n", key_entries(iface_keys));
    put("@DISCOVERY_KEYS@\n", key_entries(discovery_keys));
    put("@ERRORS@\n", errors);
    put("@DATE@", date);
    put("@VERSION@", ISCSI_VERSION);
    return text;
}

const char* see_also(const Command& c) {
    if (c.program.compare(0, 3, "tgt") == 0) return "tgtd (8), tgtadm (8), tgt-admin (8), targets.conf (5), iscsi (8)";
    if (c.program != "iscsi") return "iscsid (8), iscsiadm (8), iscsistart (8), iscsid.conf (5), iscsi (8)";
    return "iscsi (8), tgtd (8), iscsiadm (8)";
}

std::string see_also_section(const Command& c) {
    std::string out = ".SH SEE ALSO\n", list = see_also(c);
    for (size_t at = 0; at < list.size();) {
        size_t end = std::min(list.find(", ", at), list.size());
        std::string one = list.substr(at, end - at);
        at = end + 2;
        if (one.compare(0, one.find(' '), page_name(c)) == 0) continue;
        out += ".BR " + roff(one) + (at < list.size() ? " ," : "") + "\n";
    }
    if (out.size() > 2 && out.compare(out.size() - 3, 3, " ,\n") == 0) out.erase(out.size() - 3, 2);
    return out;
}

std::string page(const Command& c, const std::vector<Command>& all, const std::string& text_dir, const std::string& date) {
    const Interface& i = *c.interface;
    std::string name = page_name(c), title = name;
    for (char& letter : title) letter = char(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
    std::string out = ".TH " + roff(title) + " " + std::to_string(i.man_section) + " " + date + " \"iscsi " ISCSI_VERSION "\"\n";
    out += ".SH NAME\n" + roff(name) + " \\- " + roff(i.summary) + "\n.SH SYNOPSIS\n" + synopsis(i, c.word.empty() ? c.program : "iscsi " + c.word);
    if (i.details && *i.details) out += ".SH DESCRIPTION\n" + paragraphs(i.details);
    std::string options;
    for (const Option& o : i.options)
        if (o.help) options += option_entry(o);
    if (!options.empty()) out += ".SH OPTIONS\n" + options;
    if (c.program == "iscsi" && c.word.empty()) {
        out += ".SH APPLETS\n";
        for (const Command& other : all) {
            if (&other == &c) continue;
            out += ".TP\n.BR " + roff(page_name(other)) + " (" + std::to_string(other.interface->man_section) + ")\n" + roff(other.interface->summary) + ".\n";
        }
    }
    if (auto part = read_file(text_dir + "/" + name + "." + std::to_string(i.man_section) + ".part", 1 << 20)) out += expand(*part, date);
    if (i.example) out += ".SH EXAMPLES\n" + example_block(i.example);
    return out + see_also_section(c);
}

bool write_text(const std::string& path, const std::string& text) {
    FILE* f = std::fopen(path.c_str(), "we");
    if (!f || std::fwrite(text.data(), 1, text.size(), f) != text.size() || std::fclose(f) != 0) {
        std::fprintf(stderr, "generate: write %s: %s\n", path.c_str(), std::strerror(errno));
        return false;
    }
    return true;
}

// Every applet's tables, got by asking it for --help.
std::vector<Command> commands() {
    std::vector<Command> out;
    for (const auto& applet : applets::all()) {
        std::string name(applet.name), help = "--help";
        char* argv[] = {name.data(), help.data(), nullptr};
        cli::asked_for = nullptr;
        applet.run(2, argv);
        if (!cli::asked_for) {
            std::fprintf(stderr, "generate: %s --help shows no table\n", name.c_str());
            return {};
        }
        const bool own_name = applet.link || name == "iscsi";
        out.push_back({own_name ? name : "iscsi", own_name ? "" : name, cli::asked_for});
    }
    return out;
}

int generate(const std::string& out, const std::string& text_dir, const std::string& date) {
    int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC), real = ::fcntl(1, F_DUPFD_CLOEXEC, 3);
    ::dup2(quiet, 1);                   // an applet that prints more than its help
    const std::vector<Command> all = commands();
    std::fflush(stdout);
    ::dup2(real, 1);
    if (all.empty()) return 1;
    for (const char* sub : {"", "/man", "/man/man1", "/man/man5", "/man/man8", "/completions"}) ::mkdir((out + sub).c_str(), 0777);
    bool good = true;
    for (const Command& c : all) {
        const std::string section = std::to_string(c.interface->man_section);
        good = write_text(out + "/man/man" + section + "/" + page_name(c) + "." + section, page(c, all, text_dir, date)) && good;
    }
    for (const char* name : {"targets.conf.5", "iscsid.conf.5", "initiatorname.iscsi.5", "iscsi-records.5"}) {
        auto text = read_file(text_dir + "/" + name + ".in", 1 << 20);
        if (!text) {
            std::fprintf(stderr, "generate: %s\n", text.error().text().c_str());
            return 1;
        }
        good = write_text(out + "/man/man5/" + name, expand(*text, date)) && good;
    }
    good = write_text(out + "/completions/bash", bash_completion(all)) && good;
    good = write_text(out + "/completions/zsh", zsh_completion(all)) && good;
    good = write_text(out + "/completions/fish", fish_completion(all)) && good;
    return good ? 0 : 1;
}

}  // namespace
}  // namespace iscsi::manual

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: generate OUT_DIR TEXT_DIR DATE\n", stderr);
        return 2;
    }
    return iscsi::manual::generate(argv[1], argv[2], argv[3]);
}
