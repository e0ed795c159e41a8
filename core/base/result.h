// Failures of the environment (a file that cannot be opened, a socket that is refused): what was
// tried, on which object, and errno. The peer's mistakes are not Results; they are protocol values.
#pragma once
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

namespace iscsi {

struct Error {
    int code = 0;           // errno; 0 if the text says it all
    std::string what;       // "open backing store"
    std::string object;     // "/srv/disk.img"; may be empty
    // "open backing store /srv/disk.img: No such file or directory"
    std::string text() const;
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Error error) : error_(std::move(error)) {}
    explicit operator bool() const { return value_.has_value(); }
    T& operator*() { return *value_; }
    const T& operator*() const { return *value_; }
    T* operator->() { return &*value_; }
    const Error& error() const { return error_; }

private:
    std::optional<T> value_;
    Error error_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}
    explicit operator bool() const { return !error_; }
    const Error& error() const { return *error_; }

private:
    std::optional<Error> error_;
};

// In a function that returns a Result: the value, or return the error.
#define TRY(expression)                                    \
    ({                                                     \
        auto try_result_ = (expression);                   \
        if (!try_result_) return try_result_.error();      \
        std::move(*try_result_);                           \
    })
#define TRY_VOID(expression)                               \
    do {                                                   \
        auto try_result_ = (expression);                   \
        if (!try_result_) return try_result_.error();      \
    } while (0)

}  // namespace iscsi
