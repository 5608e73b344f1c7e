/// The schema's migrations, in their order. Each is a file beside this one, embedded in the binary.
package enum Migrations {
    /// Name and SQL. A test checks that every file of this folder stands here.
    package static let all: [(name: String, sql: String)] = [
        ("0001_initial", String(decoding: PackageResources._001_initial_sql, as: UTF8.self))
    ]
}
