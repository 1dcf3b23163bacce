#pragma once
// SQLite as values and sentences: a connection, statements, transactions. Nothing here knows what the tables mean.
// SQL is text of the program; what comes from outside is bound, never joined to it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace millrace {

class Database;

// One prepared statement, to be run once. Places are bound in order; a column is read while a row stands.
class Statement {
public:
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;
    ~Statement();

    Statement& bind(int64_t value);
    Statement& bind(std::optional<int64_t> value);
    // The bytes must stay until the statement is done.
    Statement& bind(std::string_view blob);

    // True: a row stands. False: there is none (any more).
    [[nodiscard]] Result<bool> step();
    // Runs to the end.
    [[nodiscard]] Status run();

    [[nodiscard]] int64_t integer(int column) const;
    [[nodiscard]] std::optional<int64_t> maybe_integer(int column) const;
    // Until the next step.
    [[nodiscard]] std::string_view blob(int column) const;

private:
    friend class Database;
    Statement(Database& database, sqlite3_stmt* statement)
        : database_(&database), statement_(statement) {}

    Database* database_;
    sqlite3_stmt* statement_;
    int bound_ = 0;
    int bind_problem_ = 0;
};

class Database {
public:
    // `vfs`: SQLite's name of a file system; null for the machine's. Made when it is not there. Foreign keys are held,
    // schemas are not trusted, a busy file is refused at once.
    [[nodiscard]] static Result<Database> open(const Path& path, const char* vfs);

    Database(Database&& other) noexcept;
    Database& operator=(Database&& other) noexcept;
    ~Database();

    [[nodiscard]] Result<Statement> prepare(std::string_view sql);
    // Statements without places and rows, separated by semicolons.
    [[nodiscard]] Status execute(const char* sql);
    // The first column of the first row; kCorrupt when there is none.
    [[nodiscard]] Result<int64_t> integer(std::string_view sql);
    [[nodiscard]] Result<std::string> text(std::string_view sql);

    // While set, closing leaves the log beside the file and the file as it is.
    [[nodiscard]] Status keep_log(bool keep);
    // How many rows the last statement changed.
    [[nodiscard]] int64_t changed() const;
    [[nodiscard]] const Path& path() const { return path_; }

private:
    friend class Statement;
    Database(sqlite3* handle, Path path) : handle_(handle), path_(std::move(path)) {}
    // A sentence for what SQLite said last.
    [[nodiscard]] Error error(std::string_view doing, int code) const;

    sqlite3* handle_;
    Path path_;
};

// Everything or nothing: what is not committed when this ends never was.
class Transaction {
public:
    [[nodiscard]] static Result<Transaction> begin(Database& database);
    Transaction(Transaction&& other) noexcept;
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();

    // After this has returned well, the changes survive a loss of power.
    [[nodiscard]] Status commit();

private:
    explicit Transaction(Database& database) : database_(&database) {}
    Database* database_;  // null: done
};

}  // namespace millrace
