#include "scripts/manual/shells.h"

#include <cstring>

namespace iscsi::manual {
namespace {

using cli::Arg;
using cli::Option;

// Words that --help explains in prose; the rest is told by the name of the value ("a|b" is a choice, PATH a file).
struct Words { const char* program; char short_name; const char* words; };
constexpr Words known[] = {
    {"tgtadm", 'm', "system target logicalunit portal session connection account lld"},
    {"tgtadm", 'o', "new delete show update bind unbind stat start stop"},
    {"tgtadm", 'L', "iscsi"},
    {"iscsiadm", 'm', "discovery discoverydb node session iface host fw"},
    {"iscsiadm", 'o', "new delete update show nonpersistent apply applyall"},
    {"iscsiadm", 't', "sendtargets isns fw"},
    {"iscsiadm", 'L', "all automatic manual onboot"},
    {"iscsiadm", 'U', "all automatic manual onboot"},
    {"tgtimg", 'o', "new show"},
    {"tgtimg", 'Y', "disk cd tape"},
};
// What the running system knows.
struct Lists { const char* program; const char* option; const char* command; };
constexpr const char* targets_of_tgtd = "tgtadm --lld iscsi --mode target --op show 2>/dev/null | sed -n 's/^Target [0-9]*: //p'";
constexpr const char* targets_of_records = "iscsiadm -m node 2>/dev/null | sed 's/.* //' | sort -u";
constexpr Lists lists[] = {
    {"tgtadm", "targetname", targets_of_tgtd},
    {"tgt-admin", "update", targets_of_tgtd},
    {"tgt-admin", "delete", targets_of_tgtd},
    {"tgt-admin", "offline", targets_of_tgtd},
    {"tgt-admin", "ready", targets_of_tgtd},
    {"iscsiadm", "targetname", targets_of_records},
};

enum class Value { nothing, anything, file, directory, choice, command };
struct Completion { Value value = Value::nothing; std::string words; };

Completion value_of(const Command& c, const Option& o) {
    if (o.arg == Arg::none) return {};
    for (const Words& w : known)
        if (c.program == w.program && o.short_name && o.short_name == w.short_name) return {Value::choice, w.words};
    for (const Lists& l : lists)
        if (c.program == l.program && o.long_name && std::strcmp(o.long_name, l.option) == 0) return {Value::command, l.command};
    std::string name = o.metavar ? o.metavar : "";
    if (name.find('|') != std::string::npos) {
        for (char& letter : name)
            if (letter == '|') letter = ' ';
        return {Value::choice, name};
    }
    if (name == "PATH" || name == "FILE") return {Value::file, ""};
    if (name == "DIR") return {Value::directory, ""};
    return {Value::anything, ""};
}

std::vector<std::string> programs(const std::vector<Command>& commands) {
    std::vector<std::string> out;
    for (const Command& c : commands)
        if (c.word.empty()) out.push_back(c.program);
    return out;
}

bool takes_files(const Command& c) {
    return c.word == "cp" || std::strstr(c.interface->usage, " FILE") != nullptr;
}

std::string key(const Command& c) { return c.word.empty() ? c.program : c.program + "/" + c.word; }

// A colon ends a part of what zsh's _arguments reads.
std::string escaped(const std::string& text) {
    std::string out;
    for (char c : text) out += c == ':' ? std::string("\\:") : std::string(1, c);
    return out;
}

// 'text' for a shell; `also` are characters that want a backslash before them.
std::string quoted(const std::string& text, const char* also = "") {
    std::string out = "'";
    for (char c : text) {
        if (c == '\'') out += "'\\''";
        else if (*also && std::strchr(also, c)) out += std::string("\\") + c;
        else out += c;
    }
    return out + "'";
}

}  // namespace

std::string bash_completion(const std::vector<Command>& commands) {
    std::string out = "# bash completion for iscsi and its applets; made from the tables behind --help\n\n_iscsi_options() {\n    case $1 in\n";
    for (const Command& c : commands) {
        out += "    " + key(c) + ") echo \"";
        std::string list;
        for (const Option& o : c.interface->options) {
            if (!o.help) continue;
            if (o.short_name) list += std::string(list.empty() ? "-" : " -") + o.short_name;
            if (o.long_name) list += std::string(list.empty() ? "--" : " --") + o.long_name;
        }
        out += list + "\";;\n";
    }
    out += "    esac\n}\n\n# $1 applet, $2 option, $3 what is typed: sets COMPREPLY; fails if the option takes no value\n_iscsi_value() {\n    case $1:$2 in\n";
    for (const Command& c : commands) {
        for (const Option& o : c.interface->options) {
            if (!o.help || o.arg == Arg::none) continue;
            std::string names;
            if (o.short_name && o.arg == Arg::required) names += key(c) + ":-" + o.short_name;
            if (o.long_name) names += (names.empty() ? "" : "|") + key(c) + ":--" + o.long_name;
            if (names.empty()) continue;
            const Completion v = value_of(c, o);
            out += "    " + names + ") ";
            switch (v.value) {
            case Value::choice: out += "COMPREPLY=($(compgen -W \"" + v.words + "\" -- \"$3\"))"; break;
            case Value::command: out += "COMPREPLY=($(compgen -W \"$(" + v.words + ")\" -- \"$3\"))"; break;
            case Value::file: out += "COMPREPLY=($(compgen -f -- \"$3\")); compopt -o filenames 2>/dev/null"; break;
            case Value::directory: out += "COMPREPLY=($(compgen -d -- \"$3\")); compopt -o filenames 2>/dev/null"; break;
            default: out += "COMPREPLY=()"; break;
            }
            out += ";;\n";
        }
    }
    out += "    *) return 1;;\n    esac\n    return 0\n}\n\n_iscsi() {\n"
           "    local cur prev applet=${1##*/} words cword\n"
           "    if declare -F _get_comp_words_by_ref > /dev/null; then\n"
           "        _get_comp_words_by_ref -n =: cur prev words cword\n"
           "    else\n"
           "        words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    fi\n"
           "    [ \"$cur\" = = ] && cur=\n"
           "    [ \"$prev\" = = ] && [ \"$cword\" -ge 2 ] && prev=${words[cword-2]}\n"
           "    COMPREPLY=()\n"
           "    if [ \"$applet\" = iscsi ]; then\n"
           "        local applets=\"";
    for (const Command& c : commands) out += (c.word.empty() ? c.program : c.word) + " ";
    out += "help\"\n"
           "        if [ \"$cword\" -le 1 ] || [ \"${words[1]}\" = help ]; then\n"
           "            case $cur in\n"
           "            -*) COMPREPLY=($(compgen -W \"$(_iscsi_options iscsi)\" -- \"$cur\"));;\n"
           "            *) COMPREPLY=($(compgen -W \"$applets\" -- \"$cur\"));;\n"
           "            esac\n"
           "            return 0\n"
           "        fi\n"
           "        case ${words[1]} in -*) ;; ";
    for (const std::string& p : programs(commands))
        if (p != "iscsi") out += (p == programs(commands).front() ? "" : "|") + p;
    out += ") applet=${words[1]};; *) applet=iscsi/${words[1]};; esac\n"
           "    fi\n"
           "    case $cur in\n"
           "    --*=*)\n"
           "        _iscsi_value \"$applet\" \"${cur%%=*}\" \"${cur#*=}\" || return 0\n"
           "        declare -F __ltrim_colon_completions > /dev/null && __ltrim_colon_completions \"${cur#*=}\"\n"
           "        return 0;;\n"
           "    esac\n"
           "    if _iscsi_value \"$applet\" \"$prev\" \"$cur\"; then\n"
           "        declare -F __ltrim_colon_completions > /dev/null && __ltrim_colon_completions \"$cur\"\n"
           "        return 0\n"
           "    fi\n"
           "    case $cur in\n"
           "    -*) COMPREPLY=($(compgen -W \"$(_iscsi_options \"$applet\")\" -- \"$cur\"));;\n"
           "    *)  case $applet in\n        ";
    bool first = true;
    for (const Command& c : commands)
        if (takes_files(c)) {
            out += (first ? "" : "|") + key(c);
            first = false;
        }
    out += ") COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null;;\n        esac;;\n    esac\n    return 0\n}\n\ncomplete -F _iscsi";
    for (const std::string& p : programs(commands)) out += " " + p;
    return out + "\n";
}

std::string zsh_completion(const std::vector<Command>& commands) {
    std::string out = "#compdef";
    for (const std::string& p : programs(commands)) out += " " + p;
    out += "\n# zsh completion for iscsi and its applets; made from the tables behind --help\n\n";
    auto function_of = [](const Command& c) {
        std::string name = "_iscsi_of_" + (c.word.empty() ? c.program : "iscsi_" + c.word);
        for (char& letter : name)
            if (letter == '-') letter = '_';
        return name;
    };
    for (const Command& c : commands) {
        if (c.program == "iscsi" && c.word.empty()) continue;
        out += function_of(c) + "() {\n    _arguments -s -S";
        for (const Option& o : c.interface->options) {
            if (!o.help) continue;
            const Completion v = value_of(c, o);
            std::string value;
            if (v.value != Value::nothing) {
                value = (o.arg == Arg::optional ? "::" : ":") + std::string(o.metavar ? o.metavar : "value") + ":";
                for (char& letter : value)
                    if (letter == '|') letter = ' ';
                if (v.value == Value::choice) value += "(" + v.words + ")";
                if (v.value == Value::file) value += "_files";
                if (v.value == Value::directory) value += "_files -/";
                if (v.value == Value::command) value += "{compadd -- ${(f)\"$(" + escaped(v.words) + ")\"}}";
            }
            const std::string tail = "[" + quoted(o.help, "[]:\\").substr(1);
            const std::string text = quoted(value).substr(1);
            const std::string spec = tail.substr(0, tail.size() - 1) + "]" + text;
            auto one = [&](const std::string& name, bool is_long) {
                const char* joint = v.value == Value::nothing ? "" : is_long ? "=" : o.arg == Arg::optional ? "-" : "+";
                out += " \\\n        '" + name + joint + spec;
            };
            if (o.short_name) one(std::string("-") + o.short_name, false);
            if (o.long_name) one(std::string("--") + o.long_name, true);
        }
        out += takes_files(c) ? " \\\n        '*:file:_files'\n}\n\n" : " \\\n        '*: :'\n}\n\n";
    }
    out += "local program=${service:-iscsi}\nif [[ $program == iscsi ]]; then\n    if (( CURRENT == 2 )); then\n        local -a applets=(\n";
    for (const Command& c : commands) {
        if (c.program == "iscsi" && c.word.empty()) continue;
        out += "            " + quoted((c.word.empty() ? c.program : c.word) + ":" + c.interface->summary) + "\n";
    }
    out += "            'help:explain an applet'\n        )\n        _describe applet applets\n        return\n    fi\n    shift words\n    (( CURRENT-- ))\n"
           "    program=$words[1]\nfi\ncase $program in\n";
    for (const Command& c : commands)
        if (c.program != "iscsi" || !c.word.empty()) out += "    " + (c.word.empty() ? c.program : c.word) + ") " + function_of(c) + ";;\n";
    return out + "esac\n";
}

std::string fish_completion(const std::vector<Command>& commands) {
    std::string out = "# fish completion for iscsi and its applets; made from the tables behind --help\n";
    for (const Command& c : commands) {
        const bool front = c.program == "iscsi" && c.word.empty();
        std::string head = "complete -c " + c.program;
        if (!takes_files(c)) out += head + (c.word.empty() ? "" : " -n '__fish_seen_subcommand_from " + c.word + "'") + " -f\n";
        if (!front) out += "complete -c iscsi -n __fish_use_subcommand -a " + (c.word.empty() ? c.program : c.word) + " -d " + quoted(c.interface->summary) + "\n";
        if (front) head += " -n __fish_use_subcommand";
        else if (!c.word.empty()) head += " -n '__fish_seen_subcommand_from " + c.word + "'";
        for (const Option& o : c.interface->options) {
            if (!o.help) continue;
            std::string line = head;
            if (o.short_name) line += std::string(" -s ") + o.short_name;
            if (o.long_name) line += std::string(" -l ") + o.long_name;
            const Completion v = value_of(c, o);
            if (o.arg == Arg::required) line += v.value == Value::file || v.value == Value::directory ? " -r -F" : " -x";
            if (v.value == Value::choice) line += " -a " + quoted(v.words);
            if (v.value == Value::command) line += " -a " + quoted("(" + v.words + ")");
            out += line + " -d " + quoted(o.help) + "\n";
        }
    }
    return out;
}

}  // namespace iscsi::manual
