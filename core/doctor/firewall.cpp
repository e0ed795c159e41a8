// What this machine's own packet filter does with connections to the target's port, as far as its rules can be read: the
// first rule of an input chain that speaks for sure decides; one that only may match leaves it open. One reader for the
// listing of nft and for iptables-save: their words are much the same once case and leading dashes are gone.
#include <strings.h>

#include <algorithm>
#include <charconv>

#include "core/doctor/doctor.h"

namespace iscsi::doctor {
namespace {

// The words of a rule: between blanks, commas and semicolons; quotes hold one together, leading dashes are dropped.
class Words {
public:
    explicit Words(std::string_view line) : rest_(line) {}
    std::string_view peek() {
        const size_t start = std::min(rest_.find_first_not_of(" \t,;"), rest_.size());
        rest_.remove_prefix(start);
        if (rest_.empty()) return {};
        const size_t end = rest_[0] == '"' ? rest_.find('"', 1) : rest_.find_first_of(" \t,;");
        length_ = std::min(end, rest_.size());
        std::string_view word = rest_.substr(0, length_);
        word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
        return word;
    }
    std::string_view next() {
        const std::string_view word = peek();
        rest_.remove_prefix(std::min(length_ + (!rest_.empty() && rest_[0] == '"'), rest_.size()));
        return word;
    }

private:
    std::string_view rest_;
    size_t length_ = 0;
};

// Whether the word is one of `list`, a blank after each.
bool is(std::string_view word, const char* list) {
    for (std::string_view rest = list; !rest.empty();) {
        const size_t end = rest.find(' ');
        if (word.size() == end && ::strncasecmp(word.data(), rest.data(), end) == 0) return true;
        rest.remove_prefix(end + 1);
    }
    return false;
}

// "3260", "3000-4000", "3000:4000", "iscsi-target"
bool covers(std::string_view ports, unsigned port) {
    if (ports == "iscsi-target") return port == 3260;
    unsigned low = 0, high = 0;
    const char* end = ports.data() + ports.size();
    const char* at = std::from_chars(ports.data(), end, low).ptr;
    if (at == end || std::from_chars(at + 1, end, high).ptr != end) high = low;
    return low <= port && port <= high;
}

enum class Verdict : uint8_t { none, accept, refuse, leave, jump };

struct Rule {
    Verdict verdict = Verdict::none;
    bool conditional = false;               // asks for more than protocol, port and state
    bool never = false;                     // not for a new connection to the port
    std::string_view to;                    // of jump
};

Verdict verdict_of(std::string_view word) {
    return is(word, "accept ") ? Verdict::accept : is(word, "drop reject queue ") ? Verdict::refuse
         : is(word, "return ") ? Verdict::leave : Verdict::none;
}

Rule read_rule(Words words, unsigned port) {
    Rule r;
    bool tcp = false, other_protocol = false, negated = false;
    for (std::string_view w; !(w = words.next()).empty();) {
        if ((r.verdict = verdict_of(w)) != Verdict::none) break;
        if (is(w, "j g jump goto ")) {
            r.to = words.next();
            if ((r.verdict = verdict_of(r.to)) == Verdict::none) r.verdict = Verdict::jump;
            break;
        }
        if (is(w, "m packets bytes comment ")) words.next();
        else if (is(w, "tcp ")) tcp = true;
        else if (is(w, "udp icmp icmpv6 ipv6-icmp igmp sctp ")) other_protocol = true;
        else if (is(w, "! != ")) negated = true;
        else if (is(w, "dport dports state ctstate ")) {
            const bool ports = is(w, "dport dports ");
            auto value = [&] {
                return ports ? (w[0] >= '0' && w[0] <= '9') || w == "iscsi-target" : is(w, "new established related invalid untracked ");
            };
            bool hit = false;
            for (; !(w = words.peek()).empty(); words.next()) {
                if (is(w, "! != ")) negated = true;
                else if (w[0] == '@') r.conditional = true, hit = !negated;
                else if (value()) hit = hit || (ports ? covers(w, port) : is(w, "new "));
                else if (!is(w, "{ } ")) break;
            }
            r.never = r.never || hit == negated;
            negated = false;
        }
        else if (!is(w, "th meta l4proto ip ip6 protocol nexthdr ct counter p multiport conntrack all { } ")) r.conditional = true;
    }
    r.never = r.never || (other_protocol && !tcp);
    return r;
}

enum class Way : uint8_t { undecided, open, closed };

// A listing and how far to look into it. Chains of nft belong to tables; iptables-save has only those of *filter taken.
struct Listing {
    std::string_view text;
    unsigned port;

    // Calls each(table, chain, words, declares) for every rule, and for what declares a chain: "type filter hook input …", ":INPUT DROP".
    template <class Each>
    void lines(Each each) const {
        std::string_view table, chain;
        for (std::string_view rest = text; !rest.empty();) {
            const size_t end = std::min(rest.find('\n'), rest.size());
            const std::string_view line = rest.substr(0, end);
            rest.remove_prefix(std::min(end + 1, rest.size()));
            Words words(line);
            const std::string_view first = words.next();
            if (first.empty()) continue;
            if (first[0] == '*') table = first;
            else if (first == "table") table = line;
            else if (first == "chain") chain = words.next();
            else if (first == "}") chain = {};
            else if (first[0] == ':') each(table, first.substr(1), words, true);
            else if (first == "A" && line[0] == '-') chain = words.next(), each(table, chain, words, false), chain = {};
            else if (!chain.empty()) each(table, chain, Words(line), first == "type");
        }
    }

    Way follow(std::string_view in_table, std::string_view in_chain, bool policy_drop, bool& may_open, unsigned depth) const {
        Way way = Way::undecided;
        bool left = depth == 0;
        lines([&](std::string_view table, std::string_view chain, Words words, bool declares) {
            if (declares || left || way != Way::undecided || table != in_table || chain != in_chain) return;
            const Rule r = read_rule(words, port);
            if (r.never) return;
            if (r.verdict == Verdict::jump) {
                bool inner = false;
                const Way there = follow(in_table, r.to, false, inner, depth - 1);
                may_open = may_open || inner || (r.conditional && there == Way::open);
                if (!r.conditional) way = there;
            } else if (r.conditional) {
                may_open = may_open || r.verdict == Verdict::accept;
            } else if (r.verdict == Verdict::accept) way = Way::open;
            else if (r.verdict == Verdict::refuse) way = Way::closed;
            else if (r.verdict == Verdict::leave) left = true;
        });
        return way == Way::undecided && policy_drop ? Way::closed : way;
    }
};

}  // namespace

Passage passage(std::string_view listing, unsigned port) {
    const Listing all{listing, port};
    Passage worst = Passage::open;
    all.lines([&](std::string_view table, std::string_view chain, Words words, bool declares) {
        if (!declares) return;
        const std::string_view first = words.next();
        bool input = table == "*filter" && chain == "INPUT" && is(first, "accept drop "), drop = input && is(first, "drop ");
        if (first == "type")
            for (std::string_view before, w; !(w = words.next()).empty(); before = w) {
                input = input || (before == "hook" && w == "input");
                drop = drop || (before == "policy" && w == "drop");
            }
        if (!input) return;
        bool may_open = false;
        if (all.follow(table, chain, drop, may_open, 8) == Way::closed) worst = std::max(worst, may_open ? Passage::some : Passage::closed);
    });
    return worst;
}

void check_firewall(const Options& options, const State& state, Report& report) {
    if (!state.tgtd_runs) return;                           // what goes out is seen at the portals
    std::vector<std::string> listings;
    bool nft = false;
    auto take = [&](const char* const* command) {
        auto rules = output_of(command, options.deadline_ms);
        if (rules) listings.push_back(std::move(*rules));
        return bool(rules);
    };
    for (const char* program : {"/usr/sbin/nft", "/sbin/nft"}) {
        const char* const list[] = {program, "list", "ruleset", nullptr};
        nft = nft || take(list);
    }
    for (const char* program : {"/usr/sbin/iptables-legacy-save", "/usr/sbin/iptables-save", "/sbin/iptables-save"}) {
        const char* const save[] = {program, nullptr};
        take(save);
    }
    if (listings.empty()) return report.ok("firewall").is("no rules to be read here (no nft or iptables, or not root)");
    for (const unsigned port : state.ports) {
        Passage p = Passage::open;
        for (const std::string& rules : listings)
            if (p == Passage::open) p = passage(rules, port);
        if (p == Passage::open)
            report.ok("firewall").is("lets port %u in", port);
        else if (p == Passage::some)
            report.warn("firewall")
                .found("lets port %u in from certain addresses or interfaces only", port)
                .mend("look whether the initiators are among them: %s", nft ? "nft list ruleset" : "iptables-save");
        else
            report.fail("firewall")
                .found("this machine's rules let nobody in to port %u", port)
                .mend("%s", nft ? text("nft insert rule inet filter input tcp dport %u accept (and in /etc/nftables.conf)", port).c_str()
                                : text("iptables -I INPUT -p tcp --dport %u -j ACCEPT (and make it permanent)", port).c_str());
    }
}

}  // namespace iscsi::doctor
