// Boost.Program_options carries the parsing; its own styles differ from getopt_long(3) in prefixes, permutation, error
// texts and in what follows an error, so a style parser (its extension point) reads the tokens by getopt's rules.
// The library is given no option descriptions of its own: its code for them works on streams, whose locales would be a
// fifth of the binary. What is cut off by that is listed in cli_streams.opts.
#include "applets/cli.h"

#include <algorithm>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <cstdlib>
#include <cstring>

namespace po = boost::program_options;

// Stands in for the initialisation of std::cout and its like, which nobody uses; see cli_streams.opts.
extern "C" void iscsi_no_streams() {}

namespace iscsi::cli {
namespace {

// The library's name of a row: the long name, or "-x".
std::string key_of(const Option& o) { return o.long_name ? std::string(o.long_name) : std::string{'-', o.short_name}; }

bool names(const Option& o, std::string_view name) {
    if (o.long_name && name == o.long_name) return true;
    return name.size() == 1 && o.short_name == name[0];
}

// Reads tokens as getopt_long does. Called by the library until no token is left; each call takes at least one.
class Getopt {
public:
    Getopt(std::span<const Option> table, bool stop_at_word) : table_(table), stop_at_word_(stop_at_word) {}

    std::vector<po::option> operator()(std::vector<std::string>& tokens) {
        std::vector<po::option> out;
        const std::string token = tokens.front();
        tokens.erase(tokens.begin());
        if (only_words_ || token.size() < 2 || token[0] != '-') {
            if (stop_at_word_) only_words_ = true;
            word(token, out);
        } else if (token == "--") {
            only_words_ = true;
            // The library asks again only if it got nothing and tokens became fewer, which is so here.
        } else if (token[1] == '-') {
            long_option(token.substr(2), tokens, out);
        } else {
            short_options(token.substr(1), tokens, out);
        }
        if (error) tokens.clear();
        return out;
    }

    std::optional<std::string> error;

private:
    static void word(const std::string& token, std::vector<po::option>& out) {
        po::option o;
        o.value.push_back(token);
        o.original_tokens.push_back(token);
        out.push_back(o);
    }
    static void take(const Option& row, const std::optional<std::string>& value, std::vector<po::option>& out) {
        po::option o;
        o.string_key = key_of(row);
        if (row.arg != Arg::none) o.value.push_back(value.value_or(""));
        out.push_back(o);
    }

    // The row meant by a complete name or an unambiguous beginning of one.
    const Option* find_long(const std::string& name, const std::string& as_given) {
        std::vector<const Option*> candidates;
        for (const Option& o : table_) {
            if (!o.long_name || std::strncmp(o.long_name, name.c_str(), name.size()) != 0) continue;
            if (name == o.long_name) return &o;
            candidates.push_back(&o);
        }
        if (candidates.empty()) {
            error = "unrecognized option '--" + as_given + "'";
            return nullptr;
        }
        // Several spellings of one option (same letter, same argument) are no ambiguity.
        const Option* first = candidates.front();
        bool same = std::all_of(candidates.begin(), candidates.end(), [&](const Option* o) {
            return o == first || (o->short_name && o->short_name == first->short_name && o->arg == first->arg);
        });
        if (same) return first;
        error = "option '--" + as_given + "' is ambiguous; possibilities:";
        for (const Option* o : candidates) *error += std::string(" '--") + o->long_name + "'";
        return nullptr;
    }

    void long_option(const std::string& text, std::vector<std::string>& tokens, std::vector<po::option>& out) {
        size_t equals = text.find('=');
        const Option* row = find_long(text.substr(0, equals), text);
        if (!row) return;
        std::optional<std::string> value;
        if (equals != std::string::npos) value = text.substr(equals + 1);
        if (value && row->arg == Arg::none) {
            error = std::string("option '--") + row->long_name + "' doesn't allow an argument";
            return;
        }
        if (!value && row->arg == Arg::required) {
            if (tokens.empty()) {
                error = std::string("option '--") + row->long_name + "' requires an argument";
                return;
            }
            value = tokens.front();
            tokens.erase(tokens.begin());
        }
        take(*row, value, out);
    }

    void short_options(const std::string& letters, std::vector<std::string>& tokens, std::vector<po::option>& out) {
        for (size_t i = 0; i < letters.size(); i++) {
            auto row = std::find_if(table_.begin(), table_.end(), [&](const Option& o) { return o.short_name == letters[i]; });
            if (row == table_.end()) {
                error = std::string("invalid option -- '") + letters[i] + "'";
                return;
            }
            std::optional<std::string> value;
            if (row->arg != Arg::none && i + 1 < letters.size()) value = letters.substr(i + 1);
            if (row->arg == Arg::required && !value) {
                if (tokens.empty()) {
                    error = std::string("option requires an argument -- '") + letters[i] + "'";
                    return;
                }
                value = tokens.front();
                tokens.erase(tokens.begin());
            }
            take(*row, value, out);
            if (value) return;
        }
    }

    std::span<const Option> table_;
    bool stop_at_word_, only_words_ = false;
};

}  // namespace

bool Parsed::has(std::string_view name) const {
    return std::any_of(items.begin(), items.end(), [&](const Item& i) { return names(*i.option, name); });
}

std::optional<std::string> Parsed::get(std::string_view name) const {
    auto last = std::find_if(items.rbegin(), items.rend(), [&](const Item& i) { return names(*i.option, name); });
    if (last == items.rend()) return std::nullopt;
    return last->value;
}

std::vector<std::string> Parsed::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const Item& i : items)
        if (names(*i.option, name)) values.push_back(i.value);
    return values;
}

Parsed parse(const Interface& interface, int argc, char** argv, bool stop_at_word) {
    Parsed result;
    std::vector<std::string> tokens(argv + (argc > 0 ? 1 : 0), argv + argc);
    if (tokens.empty()) return result;
    const po::options_description none;
    Getopt getopt(interface.options, stop_at_word || ::getenv("POSIXLY_CORRECT"));
    po::parsed_options parsed = po::basic_command_line_parser<char>(tokens)
                                    .options(none)
                                    .allow_unregistered()
                                    .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
                                    .extra_style_parser([&](std::vector<std::string>& t) { return getopt(t); })
                                    .run();
    for (const po::option& o : parsed.options) {
        std::string value = o.value.empty() ? std::string() : o.value.front();
        if (o.string_key.empty()) {
            result.words.push_back(value);
            continue;
        }
        auto row = std::find_if(interface.options.begin(), interface.options.end(),
                                [&](const Option& r) { return key_of(r) == o.string_key; });
        if (row != interface.options.end()) result.items.push_back({&*row, value});
    }
    result.error = getopt.error;
    return result;
}

}  // namespace iscsi::cli
