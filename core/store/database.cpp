#include "core/store/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

ErrorCode code_of(int code) {
    if (code == SQLITE_IOERR_SHORT_READ) return ErrorCode::kCorrupt;  // the file ends early
    switch (code & 0xFF) {
        case SQLITE_FULL: return ErrorCode::kNoSpace;
        case SQLITE_ERROR:  // our SQL is right, so the tables are not ours
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return ErrorCode::kCorrupt;
        case SQLITE_NOMEM:
        case SQLITE_TOOBIG: return ErrorCode::kCapacity;
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return ErrorCode::kInvalid;
        case SQLITE_CONSTRAINT: return ErrorCode::kInvalid;
        default: return ErrorCode::kIo;
    }
}

std::string_view advice(int code) {
    switch (code & 0xFF) {
        case SQLITE_FULL: return "; the disk is full: nothing was changed, make room and try again";
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return "; another program has the chats open: close it, then try again";
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_CANTOPEN: return "; check that this user may write there";
        case SQLITE_TOOBIG: return "; a text is too long to be kept";
        default: return "";
    }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(other.bound_),
      bind_problem_(other.bind_problem_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int64_t value) {
    const int code = sqlite3_bind_int64(statement_, ++bound_, value);
    if (code != SQLITE_OK) bind_problem_ = code;
    return *this;
}

Statement& Statement::bind(std::optional<int64_t> value) {
    if (value) return bind(*value);
    const int code = sqlite3_bind_null(statement_, ++bound_);
    if (code != SQLITE_OK) bind_problem_ = code;
    return *this;
}

Statement& Statement::bind(std::string_view blob) {
    // An empty view may have no address, which SQLite would take for NULL.
    const int code = sqlite3_bind_blob64(statement_, ++bound_, blob.empty() ? "" : blob.data(),
                                         blob.size(), SQLITE_STATIC);
    if (code != SQLITE_OK) bind_problem_ = code;
    return *this;
}

Result<bool> Statement::step() {
    if (bind_problem_ != SQLITE_OK) return database_->error("storing in", bind_problem_);
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return database_->error("using", code);
}

Status Statement::run() {
    while (TRY(step())) {
    }
    return {};
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::optional<int64_t> Statement::maybe_integer(int column) const {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
    return integer(column);
}

std::string_view Statement::blob(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int count = sqlite3_column_bytes(statement_, column);
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<size_t>(count)};
}

Result<Database> Database::open(const Path& path, const char* vfs) {
    sqlite3* handle = nullptr;
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const int code = sqlite3_open_v2(path.c_str(), &handle, flags, vfs);
    Database database(handle, path);
    if (code != SQLITE_OK) return database.error("opening", code);
    // What a damaged or foreign file says in its schema is not run.
    for (const int setting : {SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_ENABLE_FKEY}) {
        sqlite3_db_config(handle, setting, 1, nullptr);
    }
    for (const int setting : {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW}) {
        sqlite3_db_config(handle, setting, 0, nullptr);
    }
    return database;
}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), path_(std::move(other.path_)) {}

Database& Database::operator=(Database&& other) noexcept {
    if (this != &other) {
        sqlite3_close_v2(handle_);
        handle_ = std::exchange(other.handle_, nullptr);
        path_ = std::move(other.path_);
    }
    return *this;
}

Database::~Database() { sqlite3_close_v2(handle_); }

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code =
        sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
    if (code != SQLITE_OK) return error("using", code);
    ENSURE(statement != nullptr);
    return Statement(*this, statement);
}

Status Database::execute(const char* sql) {
    const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return error("using", code);
    return {};
}

Result<int64_t> Database::integer(std::string_view sql) {
    Statement statement = TRY(prepare(sql));
    if (!TRY(statement.step())) {
        return Error{ErrorCode::kCorrupt, cat(path_.string(), " answers nothing to ", sql)};
    }
    return statement.integer(0);
}

Result<std::string> Database::text(std::string_view sql) {
    Statement statement = TRY(prepare(sql));
    if (!TRY(statement.step())) {
        return Error{ErrorCode::kCorrupt, cat(path_.string(), " answers nothing to ", sql)};
    }
    return std::string(statement.blob(0));
}

Status Database::keep_log(bool keep) {
    const int code =
        sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
    if (code != SQLITE_OK) return error("opening", code);
    return {};
}

int64_t Database::changed() const { return sqlite3_changes64(handle_); }

Error Database::error(std::string_view doing, int code) const {
    // A quota that is used up is a full disk too, but SQLite takes it for a broken one.
    const bool quota = (code & 0xFF) == SQLITE_IOERR && handle_ != nullptr &&
                       sqlite3_system_errno(handle_) == EDQUOT;
    if (quota) code = SQLITE_FULL;
    std::string said = sqlite3_errstr(code);
    if (handle_ != nullptr && (sqlite3_extended_errcode(handle_) & 0xFF) == (code & 0xFF)) {
        said = sqlite3_errmsg(handle_);
    }
    return {code_of(code), cat(doing, " ", path_.string(), ": SQLite says \"", quote_text(said),
                               "\" (", code, ")", advice(code))};
}

Result<Transaction> Transaction::begin(Database& database) {
    TRY(database.execute("BEGIN IMMEDIATE"));
    return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
    // Where an error has rolled it back already, there is none to end and SQLite's complaint says just that.
    if (database_ != nullptr) void(database_->execute("ROLLBACK").ok());
}

Status Transaction::commit() {
    TRY(database_->execute("COMMIT"));
    database_ = nullptr;
    return {};
}

}  // namespace millrace
