// Command lines as getopt_long(3) parses them: unambiguous prefixes of long options, --opt=value, -ovalue, bundled short
// options, options after words, `--`. cli.cpp is the only file that knows the option library. --help, the man pages and the
// shell completions are made from the same tables.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace iscsi::cli {

enum class Arg { none, required, optional };

struct Option {
    char short_name;            // 0: none
    const char* long_name;      // nullptr: none
    Arg arg;
    const char* metavar;        // "PATH"; nullptr if arg is none
    const char* help;           // one line; nullptr hides it
};

// What an applet says of itself; everything shown to a user is made from it.
struct Interface {
    const char* name;           // "tgtadm"
    const char* summary;        // one line
    const char* usage;          // "tgtadm --mode MODE --op OPERATION [option]..."
    std::span<const Option> options;
    const char* details;        // paragraphs after the options; may be nullptr
    const char* example;        // command lines; may be nullptr
    int man_section = 8;
};

struct Item {
    const Option* option;       // a row of the table
    std::string value;          // empty if there is none
};

struct Parsed {
    std::vector<Item> items;    // in the order given
    std::vector<std::string> words;      // what is no option, in order
    // The mistake that ended parsing, in getopt's words without the program's name: "unrecognized option '--x'",
    // "invalid option -- 'Z'", "option '--mode' requires an argument", "option requires an argument -- 'm'",
    // "option '--force' doesn't allow an argument", "option '--t' is ambiguous; possibilities: '--tid' '--targetname'".
    std::optional<std::string> error;

    bool has(std::string_view long_name) const;
    // The last value given, or nothing.
    std::optional<std::string> get(std::string_view long_name) const;
    std::vector<std::string> all(std::string_view long_name) const;
};

// `stop_at_word`: as POSIXLY_CORRECT, the first word ends the options.
Parsed parse(const Interface& interface, int argc, char** argv, bool stop_at_word = false);

// A mode of an applet that has too many options for one screen. A row without a letter belongs to all modes, unless its help begins
// with "MODE:".
struct Mode {
    std::string_view name;      // "node"; empty: none was given, an overview
    std::string letters;        // of its rows
    std::string_view option;    // what chooses it: "-m "
};

// The --help text; fits a screen (80 columns). `mode`: only what concerns it.
std::string help(const Interface& interface, const Mode* mode = nullptr);

}  // namespace iscsi::cli
