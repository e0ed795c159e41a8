// The front of the binary: lists the applets, runs one named by a word, makes the links, shows help.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/base/nearest.h"

namespace iscsi::applets {
namespace {

constexpr cli::Option options[] = {
    {0, "install", cli::Arg::none, nullptr, "make a link in DIR for each applet that has a name of its own"},
    {'s', "symlink", cli::Arg::none, nullptr, "with --install: symbolic links, not hard links"},
    {0, "list", cli::Arg::none, nullptr, "names of the applets, one a line"},
    {'V', "version", cli::Arg::none, nullptr, "print the version"},
    {'h', "help", cli::Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsi", "iSCSI target, initiator and tools in one binary",
    "iscsi APPLET [argument]...\n       iscsi help APPLET\n       iscsi --install [-s] DIR", options,
    "Called by the name of an applet (a link to this file), it is that applet.",
    "  iscsi --install -s /usr/local/sbin\n  iscsi help tgtadm", 8};

int unknown_applet(std::string_view name) {
    std::vector<std::string_view> names;
    for (const Applet& a : all()) names.push_back(a.name);
    if (std::string_view meant = nearest(name, names); !meant.empty())
        std::fprintf(stderr, "iscsi: no applet '%.*s'; did you mean '%.*s'? (`iscsi' lists them)\n", int(name.size()), name.data(),
                     int(meant.size()), meant.data());
    else
        std::fprintf(stderr, "iscsi: no applet '%.*s'; `iscsi' lists them\n", int(name.size()), name.data());
    return 127;
}

void print_overview() {
    std::printf("%s\nApplets:\n", cli::help(interface).c_str());
    for (const Applet& a : all())
        if (a.name != "iscsi")
            std::printf("  %-14.*s %.*s\n", int(a.name.size()), a.name.data(), int(a.summary.size()), a.summary.data());
}

// Makes one name in `directory`; an older link of ours or of anybody is replaced in one step.
bool make_link(const std::string& self, const std::string& path, bool symbolic) {
    const std::string temporary = path + ".new" + std::to_string(::getpid());
    int rc = symbolic ? ::symlink(self.c_str(), temporary.c_str()) : ::link(self.c_str(), temporary.c_str());
    if (rc == 0) {
        rc = ::rename(temporary.c_str(), path.c_str());
        int error = errno;
        ::unlink(temporary.c_str());    // rename of two links to one file does nothing and leaves both
        errno = error;
    }
    if (rc == 0) return true;
    std::fprintf(stderr, "iscsi: link %s -> %s: %s%s\n", path.c_str(), self.c_str(), std::strerror(errno),
                 errno == EXDEV ? "; use -s for symbolic links" : "");
    return false;
}

int install(const std::string& directory, bool symbolic) {
    char self[PATH_MAX];
    ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) {
        std::fprintf(stderr, "iscsi: read /proc/self/exe: %s; mount /proc first\n", std::strerror(errno));
        return 1;
    }
    self[length] = 0;
    struct stat info{};
    if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        std::fprintf(stderr, "iscsi: %s: %s\n", directory.c_str(), errno ? std::strerror(errno) : "not a directory");
        return 1;
    }
    bool good = true;
    for (const Applet& a : all())
        if (a.link) good = make_link(self, directory + "/" + std::string(a.name), symbolic) && good;
    return good ? 0 : 1;
}

int run_applet(const Applet& applet, std::vector<std::string> words) {
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    const int code = applet.run(int(words.size()), argv.data());
    // The originals do not look; a one-shot whose output nobody got has not succeeded.
    if (code != 0 || applet.link || (std::fflush(stdout) == 0 && !std::ferror(stdout))) return code;
    std::fprintf(stderr, "iscsi %s: write to standard output: %s\n", argv[0], errno ? std::strerror(errno) : "failed");
    return 1;
}

int refuse(const std::string& why) {
    std::fprintf(stderr, "iscsi: %s\nTry `iscsi --help' for more information.\n", why.c_str());
    return 2;
}

}  // namespace

int iscsi_main(int argc, char** argv) {
    // The applet's own options are not ours: only what stands before the first word is.
    cli::Parsed line = cli::parse(interface, argc, argv, true);
    if (line.has("install")) line = cli::parse(interface, argc, argv);
    if (line.error) return refuse(*line.error);
    if (line.has("version")) {
        std::printf("iscsi %s\n", ISCSI_VERSION);
        return 0;
    }
    if (line.has("list")) {
        for (const Applet& a : all())
            if (a.name != "iscsi") std::printf("%.*s\n", int(a.name.size()), a.name.data());
        return 0;
    }
    if (line.has("install")) {
        if (line.words.size() != 1) return refuse("--install takes one directory");
        return install(line.words[0], line.has("symlink"));
    }
    if (line.words.empty() || line.has("help")) {
        print_overview();
        return 0;
    }
    std::vector<std::string> words = line.words;
    bool asks_help = words[0] == "help";
    if (asks_help) {
        if (words.size() == 1 || words[1] == "iscsi") {
            print_overview();
            return 0;
        }
        words = {words[1], "--help"};
    }
    const Applet* applet = find(words[0]);
    if (!applet || applet->run == iscsi_main) return unknown_applet(words[0]);
    return run_applet(*applet, words);
}

}  // namespace iscsi::applets
