#include <doctest/doctest.h>

#include "core/doctor/doctor.h"

using namespace iscsi::doctor;

namespace {

// An input chain with a policy of drop, or accept, and these rules.
std::string nft(const char* policy, const std::string& rules, const char* more = "") {
    return std::string("table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy ") + policy + ";\n" + rules + "\t}\n" + more +
           "\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
}

}  // namespace

TEST_CASE("what nft's rules say to a connection") {
    struct Row { std::string rules; Passage is; };
    const Row rows[] = {
        {"", Passage::open},
        {nft("accept", ""), Passage::open},
        {nft("drop", ""), Passage::closed},
        {nft("drop", "\t\ttcp dport 22 accept\n"), Passage::closed},
        {nft("drop", "\t\tct state established,related accept\n\t\ttcp dport { 22, 3260 } accept\n"), Passage::open},
        {nft("drop", "\t\tct state { established, related } counter packets 5 bytes 300 accept\n"), Passage::closed},
        {nft("drop", "\t\ttcp dport 3000-4000 ct state new accept comment \"disks, drop\"\n"), Passage::open},
        {nft("drop", "\t\ttcp dport iscsi-target accept\n"), Passage::open},
        {nft("drop", "\t\tiifname \"lo\" accept\n"), Passage::some},
        {nft("drop", "\t\tip saddr 10.0.0.0/8 tcp dport 3260 accept\n"), Passage::some},
        {nft("accept", "\t\ttcp dport 3260 drop\n"), Passage::closed},
        {nft("accept", "\t\ttcp dport != 22 reject with tcp reset\n"), Passage::closed},
        {nft("accept", "\t\tip saddr 10.0.0.9 drop\n"), Passage::open},
        {nft("accept", "\t\tudp dport 3260 drop\n\t\tmeta l4proto { icmp, ipv6-icmp } accept\n"), Passage::open},
        {nft("accept", "\t\tcounter packets 0 bytes 0 reject with icmpx admin-prohibited\n"), Passage::closed},
        {nft("drop", "\t\tjump services\n", "\tchain services {\n\t\ttcp dport 3260 accept\n\t}\n"), Passage::open},
        {nft("drop", "\t\tjump services\n", "\tchain services {\n\t\treturn\n\t\ttcp dport 3260 accept\n\t}\n"), Passage::closed},
        {nft("drop", "\t\tjump input\n"), Passage::closed},                     // a circle ends
        {nft("drop", "\t\ttcp dport @ports accept\n"), Passage::some},
        {nft("accept", "\t\tth dport 3260 meta l4proto { tcp, udp } drop\n"), Passage::closed},
        {"table inet filter {\n\tchain input {\n\t\t\"\n\t\ttcp dport\n\t\ttype\n", Passage::open},
    };
    for (const Row& r : rows) {
        CAPTURE(r.rules);
        CHECK(int(passage(r.rules, 3260)) == int(r.is));
    }
}

TEST_CASE("what iptables' rules say to a connection") {
    struct Row { const char* rules; Passage is; };
    const Row rows[] = {
        {"*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n", Passage::open},
        {"*filter\n:INPUT DROP [0:0]\nCOMMIT\n", Passage::closed},
        {"*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 3260 -j ACCEPT\nCOMMIT\n", Passage::open},
        {"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,860,3260 -j ACCEPT\n", Passage::open},
        {"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,860 -j ACCEPT\n", Passage::closed},
        {"*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 3260 -j ACCEPT\n", Passage::some},
        {"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 3260 -m comment --comment \"no disks\" -j REJECT --reject-with icmp-port-unreachable\n", Passage::closed},
        {"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp ! --dport 22 -j DROP\n", Passage::closed},
        {"*filter\n:INPUT DROP [0:0]\n:ufw-user - [0:0]\n-A INPUT -j ufw-user\n-A ufw-user -p tcp -m tcp --dport 3260 -j ACCEPT\n", Passage::open},
        {"*nat\n:INPUT DROP [0:0]\nCOMMIT\n", Passage::open},
    };
    for (const Row& r : rows) {
        CAPTURE(r.rules);
        CHECK(int(passage(r.rules, 3260)) == int(r.is));
    }
}
