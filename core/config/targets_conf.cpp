#include "core/config/targets_conf.h"

#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "core/base/fd.h"
#include "core/base/wildcard.h"

namespace iscsi::config {
namespace {

constexpr size_t max_file = 16u << 20;
constexpr size_t max_entries = 1u << 20;
constexpr int max_depth = 16;           // of includes and of blocks

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

std::string_view trim_right(std::string_view s) {
    while (!s.empty() && blank(s.back())) s.remove_suffix(1);
    return s;
}

bool read_file(const std::string& path, bool may_wait, std::string& out, std::string& why) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (may_wait ? 0 : O_NONBLOCK)));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
        why = std::strerror(errno);
        return false;
    }
    if (!may_wait && !S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) {
        why = "is no file";
        return false;
    }
    char chunk[65536];
    for (;;) {
        ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            why = std::strerror(errno);
            return false;
        }
        if (n == 0) return true;
        if (out.size() + size_t(n) > max_file) {
            why = "larger than 16 MB";
            return false;
        }
        out.append(chunk, size_t(n));
    }
}

std::vector<std::string> list_directory(const std::string& path) {
    std::vector<std::string> names;
    DIR* directory = ::opendir(path.c_str());
    if (!directory) return names;
    while (const dirent* entry = ::readdir(directory)) names.push_back(entry->d_name);
    ::closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

bool is_directory(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// Paths that match, sorted; wildcards in any component. glob(3) would pull in the user database.
void expand(const std::string& done, std::string_view rest, std::vector<std::string>& out) {
    while (!rest.empty() && rest[0] == '/') rest.remove_prefix(1);
    if (rest.empty()) {
        out.push_back(done);
        return;
    }
    const std::string part(rest.substr(0, rest.find('/')));
    rest.remove_prefix(part.size());
    const std::string head = done.empty() || done.back() == '/' ? done : done + "/";
    if (part.find_first_of("*?[") == std::string::npos) {
        const std::string path = head + part;
        if (::access(path.c_str(), F_OK) == 0) expand(path, rest, out);
        return;
    }
    for (const std::string& name : list_directory(head.empty() ? "." : head))
        if (wildcard_match(part, name)) expand(head + name, rest, out);
}

// One line with the column at which it began in the file.
struct Line {
    std::string text;
    unsigned number = 0, column = 1;
};

class Parser {
public:
    explicit Parser(TargetsConf& out) : out_(out) {}

    void file(const std::string& path, const ConfPlace& included_at, ConfBlock& into, int depth) {
        std::string text, why;
        if (!read_file(path, !included_at.file, text, why)) {       // the first may be a pipe
            if (included_at.file) mistake(included_at, "include " + path + ": " + why, 2);
            else mistake({std::make_shared<const std::string>(path), 0, 0}, why, 2);
            return;
        }
        std::string directory = path.find('/') == std::string::npos ? "." : path.substr(0, path.rfind('/'));
        source(text, path, directory.empty() ? "/" : directory, into, depth);
    }

    void source(std::string_view text, const std::string& name, const std::string& directory, ConfBlock& into, int depth) {
        Source s{std::make_shared<const std::string>(name), directory, text, 0, depth};
        std::vector<Open> open;
        ConfBlock* block = &into;
        Line line;
        while (next(s, line)) {
            std::string_view t = line.text;
            if (t.starts_with("</")) {
                if (open.empty()) {
                    mistake(place(s, line, 0), "there is no block for " + std::string(t) + " to close");
                    continue;
                }
                // Config::General closes what is open, whatever stands here.
                const Open& closed = open.back();
                const std::string closing(t.substr(2, std::min(t.find_first_of(" \t>"), t.size()) - 2));
                if (::strcasecmp(closing.c_str(), closed.key.c_str()) != 0)
                    mistake(place(s, line, 0), std::string(t) + " closes <" + closed.key + "> of line " + std::to_string(closed.place.line), 1, true);
                open.pop_back();
                block = open.empty() ? &into : open.back().block;
            } else if (t.size() > 2 && t.starts_with('<') && t.ends_with('>')) {
                open_block(s, line, t, block, open);
            } else {
                entry(s, line, *block);
            }
        }
        for (const Open& o : open) mistake(o.place, "<" + o.key + "> is not closed");
    }

private:
    struct Source {
        std::shared_ptr<const std::string> name;
        std::string directory;
        std::string_view rest;
        unsigned number;
        int depth;
    };
    struct Open {
        std::string key;
        ConfPlace place;
        ConfBlock* block;
    };

    static ConfPlace place(const Source& s, const Line& line, size_t at) { return {s.name, line.number, unsigned(line.column + at)}; }
    void mistake(ConfPlace at, std::string what, int exit_code = 255, bool minor = false) {
        if (out_.mistakes.size() < 1000) out_.mistakes.push_back({std::move(at), std::move(what), !minor, exit_code, minor});
    }

    static bool raw(Source& s, std::string_view& line) {
        if (s.rest.empty()) return false;
        const size_t end = s.rest.find('\n');
        line = s.rest.substr(0, end);
        s.rest.remove_prefix(end == std::string_view::npos ? s.rest.size() : end + 1);
        s.number++;
        return true;
    }

    // The next line that holds something: comments gone, continuations joined, no blanks around it.
    bool next(Source& s, Line& out) {
        std::string_view text;
        out.text.clear();
        bool joining = false, in_comment = false;
        while (raw(s, text)) {
            size_t lead = 0;
            while (lead < text.size() && blank(text[lead])) lead++;
            std::string_view body = trim_right(text.substr(lead));
            if (in_comment || (!joining && body.starts_with("/*"))) {
                in_comment = !body.ends_with("*/");
                continue;
            }
            std::string clean;
            bool cut = false;
            for (size_t i = 0; i < body.size(); i++) {
                if (body[i] == '#') {
                    cut = true;
                    break;
                }
                if (body[i] == '\\' && i + 1 < body.size() && body[i + 1] == '#') i++;
                clean += body[i];
            }
            std::string_view kept = cut ? trim_right(clean) : std::string_view(clean);
            if (!joining) {
                out.number = s.number;
                out.column = unsigned(lead + 1);
            }
            const bool goes_on = kept.ends_with('\\');
            if (goes_on) kept.remove_suffix(1);
            out.text += kept;
            joining = goes_on;
            if (goes_on) continue;
            if (!out.text.empty()) return true;
        }
        return !out.text.empty();
    }

    static std::string unquote(std::string_view s) {
        if (s.size() >= 2 && ((s[0] == '"' && s.back() == '"') || (s[0] == '\'' && s.back() == '\''))) s = s.substr(1, s.size() - 2);
        return std::string(s);
    }

    // Splits "key value" or "key = value"; `value_at` is npos if there is no value.
    static void split(std::string_view t, std::string& key, size_t& value_at) {
        size_t end = 0;
        while (end < t.size() && !blank(t[end]) && t[end] != '=') end++;
        if (end == 0) end = 1;
        key = t.substr(0, end);
        while (end < t.size() && blank(t[end])) end++;
        if (end < t.size() && t[end] == '=') {
            end++;
            while (end < t.size() && blank(t[end])) end++;
        }
        value_at = end < t.size() ? end : std::string_view::npos;
    }

    void open_block(const Source& s, const Line& line, std::string_view t, ConfBlock*& block, std::vector<Open>& open) {
        if (t.starts_with("<<include") && t.ends_with(">>")) {
            include(s, place(s, line, 0), unquote(trim_right(trim_left(t.substr(9, t.size() - 11)))), *block);
            return;
        }
        const bool empty = t.ends_with("/>");
        const std::string_view inside = trim_right(t.substr(1, t.size() - (empty ? 3 : 2)));
        const size_t lead = inside.size() - trim_left(inside).size();
        std::string key;
        size_t at;
        split(inside.substr(lead), key, at);
        ConfEntry fresh;
        fresh.key = key;
        fresh.key_place = place(s, line, 1 + lead);
        fresh.has_value = at != std::string_view::npos;
        if (fresh.has_value) fresh.value = unquote(inside.substr(lead + at));
        fresh.value_place = fresh.has_value ? place(s, line, 1 + lead + at) : fresh.key_place;
        if (open.size() >= size_t(max_depth)) {
            mistake(fresh.key_place, "blocks are nested too deep");
        }
        if (const auto plain = plain_.find({block, fresh.key}); plain != plain_.end() && !warned(fresh.key_place))
            mistake(fresh.key_place, "<" + key + "> stands here as a block and at " + block->entries[plain->second].key_place.text() +
                                         " as a plain line; use one form in a target");
        const auto [known, is_new] = blocks_.try_emplace({block, fresh.key, fresh.value}, block->entries.size());
        if (is_new) {
            fresh.block = std::make_unique<ConfBlock>();
            if (!add(*block, std::move(fresh))) {
                blocks_.erase(known);
                return;
            }
            block_keys_.try_emplace({block, key}, known->second);
        }
        ConfEntry* target = &block->entries[known->second];
        if (empty) return;
        open.push_back({key, place(s, line, 0), target->block.get()});
        block = target->block.get();
    }

    void entry(Source& s, const Line& line, ConfBlock& block) {
        const std::string_view t = line.text;
        ConfEntry e;
        size_t at;
        split(t, e.key, at);
        e.key_place = place(s, line, 0);
        e.has_value = at != std::string_view::npos;
        e.value_place = e.has_value ? place(s, line, at) : e.key_place;
        if (e.has_value) {
            const std::string_view value = t.substr(at);
            if (value.starts_with("<<") && value.size() > 2) e.value = here_document(s, trim_left(value.substr(2)), e.value_place);
            else e.value = unquote(value);
        }
        if ((e.key == "include" || e.key == "Include" || e.key == "INCLUDE") && e.has_value) return include(s, e.key_place, e.value, block);
        if (const auto other = block_keys_.find({&block, e.key}); other != block_keys_.end() && !warned(e.key_place))
            mistake(e.key_place, "'" + e.key + "' stands here as a plain line and at " + block.entries[other->second].key_place.text() +
                                     " as a block; use one form in a target", 1);
        const std::string key = e.key;
        if (add(block, std::move(e))) plain_.try_emplace({&block, key}, block.entries.size() - 1);
    }

    std::string here_document(Source& s, std::string_view mark, const ConfPlace& began) {
        const std::string end = unquote(trim_right(mark));
        std::string value;
        std::string_view line;
        while (raw(s, line)) {
            if (trim_right(trim_left(line)) == end) return value;
            if (!value.empty()) value += '\n';
            value += trim_right(line);
        }
        mistake(began, "the document that ends with '" + end + "' has no end");
        return value;
    }

    void include(const Source& s, const ConfPlace& at, const std::string& name, ConfBlock& block) {
        if (s.depth >= max_depth) return mistake(at, "include " + name + ": includes are nested too deep; does a file include itself?");
        const std::string path = name.starts_with('/') ? name : s.directory + "/" + name;
        if (path.find_first_of("*?[") != std::string::npos) {
            std::vector<std::string> found;
            expand(path.starts_with('/') ? "/" : "", path, found);
            for (const std::string& f : found)
                if (!is_directory(f)) file(f, at, block, s.depth + 1);
            return;
        }
        if (!is_directory(path)) return file(path, at, block, s.depth + 1);
        for (const std::string& f : list_directory(path))
            if (f[0] != '.' && !is_directory(path + "/" + f)) file(path + "/" + f, at, block, s.depth + 1);
    }

    static std::string_view trim_left(std::string_view s) {
        while (!s.empty() && blank(s[0])) s.remove_prefix(1);
        return s;
    }
    bool add(ConfBlock& block, ConfEntry e) {
        if (++entries_ > max_entries) {
            if (entries_ == max_entries + 1) mistake(e.key_place, "too many lines");
            return false;
        }
        block.entries.push_back(std::move(e));
        return true;
    }
    // Whether the last mistake is of this line: one complaint a line is enough.
    bool warned(const ConfPlace& p) const {
        return !out_.mistakes.empty() && out_.mistakes.back().place.line == p.line && out_.mistakes.back().place.file == p.file;
    }

    TargetsConf& out_;
    size_t entries_ = 0;
    // Where a key first stands in a block, as a plain line and as a block; and where a block of a name is.
    std::map<std::pair<const ConfBlock*, std::string>, size_t> plain_, block_keys_;
    std::map<std::tuple<const ConfBlock*, std::string, std::string>, size_t> blocks_;
};

}  // namespace

std::string ConfPlace::text() const {
    std::string s = file ? *file : std::string();
    if (line) s += ":" + std::to_string(line) + ":" + std::to_string(column);
    return s;
}

std::string ConfMistake::message() const { return place.text() + ": " + text; }

std::vector<const ConfEntry*> ConfBlock::all(std::string_view key) const {
    std::vector<const ConfEntry*> found;
    for (const ConfEntry& e : entries)
        if (e.key == key) found.push_back(&e);
    return found;
}

const ConfEntry* ConfBlock::first(std::string_view key) const {
    for (const ConfEntry& e : entries)
        if (e.key == key) return &e;
    return nullptr;
}

TargetsConf read_targets_conf(const std::string& path) {
    TargetsConf conf;
    Parser(conf).file(path, {}, conf.root, 0);
    return conf;
}

TargetsConf parse_targets_conf(std::string_view text, const std::string& name, const std::string& directory) {
    TargetsConf conf;
    Parser(conf).source(text, name, directory, conf.root, 0);
    return conf;
}

}  // namespace iscsi::config
