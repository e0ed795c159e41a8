// /etc/tgt/targets.conf as tgt-admin reads it: Config::General's syntax (Apache style) with includes.
//
//   key value | key = value | key "quoted value" | key <<END … END | <key name> … </key> | include PATH
//
// '#' starts a comment anywhere (\# is a literal one), /* … */ on lines of their own, '\' at the end joins lines. Names are
// case-sensitive. Equal keys become lists, blocks of the same key and name are one block, across includes too. Every key
// and value knows its place, so that a mistake can be shown.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace iscsi::config {

struct ConfPlace {
    std::shared_ptr<const std::string> file;
    unsigned line = 0, column = 0;      // from 1
    std::string text() const;           // "FILE:LINE:COLUMN"
};

struct ConfBlock;

struct ConfEntry {
    std::string key, value;
    bool has_value = false;
    ConfPlace key_place, value_place;
    std::unique_ptr<ConfBlock> block;   // of <key value>
};

struct ConfBlock {
    std::vector<ConfEntry> entries;     // in file order

    std::vector<const ConfEntry*> all(std::string_view key) const;
    const ConfEntry* first(std::string_view key) const;     // nullptr: none
};

struct ConfMistake {
    ConfPlace place;
    std::string text;
    bool fatal = true;                  // false: worth a word, the rest holds
    int exit_code = 255;                // tgt-admin's
    bool minor = false;                 // works, but not as one would wish
    std::string message() const;        // "FILE:LINE:COLUMN: text"
};

struct TargetsConf {
    ConfBlock root;
    std::vector<ConfMistake> mistakes;  // of syntax; what could be read is in root
};

// Reads the file and what it includes. A missing file is a mistake with exit code 2.
TargetsConf read_targets_conf(const std::string& path);
// The same from memory; includes are relative to `directory`.
TargetsConf parse_targets_conf(std::string_view text, const std::string& name, const std::string& directory = ".");

}  // namespace iscsi::config
