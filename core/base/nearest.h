// What was probably meant: the word of a list that needs the fewest letters changed, if it is near enough.
#pragma once
#include <algorithm>
#include <string_view>
#include <vector>

namespace iscsi {

// Letters to insert, delete or replace to make one word of the other (Levenshtein).
inline size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); j++) row[j] = j;
    for (size_t i = 1; i <= a.size(); i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            size_t above = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = above;
        }
    }
    return row[b.size()];
}

// Empty if nothing is near. `words` is any range of things that convert to string_view.
template <class Words>
std::string_view nearest(std::string_view word, const Words& words) {
    std::string_view found;
    size_t best = std::max<size_t>(word.size() / 2, 2) + 1;
    if (word.size() > 64) return found;
    for (std::string_view candidate : words)
        if (size_t d = edit_distance(word, candidate); d < best) best = d, found = candidate;
    return found;
}

}  // namespace iscsi
