// One side of a negotiation, spoken to in words.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/nego/negotiate.h"

namespace iscsi::nego {

using wire::Stage;

// "A=1 B=2" is easier to read than NULs.
inline std::string shown(const std::string& text) {
    std::string s = text;
    if (!s.empty()) s.pop_back();
    for (char& c : s)
        if (c == '\0') c = ' ';
    return s;
}

struct Side {
    Negotiation n;
    Verdict verdict{};
    // The answer to "A=1 B=2".
    std::string hear(const char* spaced, Stage stage = Stage::operational) {
        std::string text = spaced;
        if (!text.empty()) text += ' ';
        for (char& c : text)
            if (c == ' ') c = '\0';
        std::vector<wire::TextKey> keys;
        REQUIRE(wire::parse_text(as_bytes(text), keys) == wire::TextError::none);
        wire::TextWriter answer;
        verdict = n.digest(stage, keys, answer);
        return shown(answer.text());
    }
    std::string declare(Stage stage = Stage::operational) {
        wire::TextWriter w;
        n.declare(stage, w);
        return shown(w.text());
    }
    std::string offer_missing(bool* asked = nullptr) {
        wire::TextWriter w;
        const bool b = n.offer_missing(w);
        if (asked) *asked = b;
        return shown(w.text());
    }
    std::string offer(Stage stage = Stage::operational) {
        wire::TextWriter w;
        n.offer(stage, w);
        return shown(w.text());
    }
};

inline Params named() {
    Params p;
    p.initiator_name = "iqn.i";
    p.target_name = "iqn.t";
    return p;
}

inline Side target(const Limits& limits = {}, When when = When::leading_login) { return {Negotiation(Role::target, when, limits, named())}; }

inline Limits initiator_limits() {
    Limits l;                                   // what a fresh node record of open-iscsi holds
    l.initiator_name = "iqn.i";
    l.alias = "host";
    l.target_name = "iqn.t";
    l.initial_r2t = false;
    l.max_burst = 16776192;
    l.first_burst = 262144;
    l.default_time2retain = 0;
    l.max_recv_data_segment = 262144;
    return l;
}
inline Side initiator(const Limits& limits = initiator_limits(), When when = When::leading_login) {
    return {Negotiation(Role::initiator, when, limits, {})};
}

}  // namespace iscsi::nego
