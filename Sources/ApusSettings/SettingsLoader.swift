package import ApusModel
internal import Glibc

/// What the command line says, as text: it is read like every other layer.
package struct Flags: Sendable {
    /// By the option's key.
    private(set) var values: [String: RawValue] = [:]
    private(set) var listeners: [RawValue] = []
    package var configuration: String?

    package init() {}

    /// - Parameter text: nil where the flag is not there.
    package mutating func set(_ key: String, _ text: String?) {
        guard let text, let option = SettingsOption.named(key), let flag = option.flag else { return }
        values[key] = RawValue(text, .flag(flag))
    }

    /// `--listen`, each time.
    package mutating func listen(_ address: String) {
        listeners.append(RawValue(address, .flag("--listen")))
    }
}

/// Reads all layers, as often as it is asked to.
package struct SettingsLoader: Sendable {
    /// Name of the file, most bytes.
    package typealias ReadFile = @Sendable (String, Int) throws(ApusError) -> [UInt8]

    /// What was loaded.
    package struct Loaded: Sendable {
        package let settings: Settings
        /// A line each.
        package let warnings: [String]
    }

    /// A configuration is for people.
    package static let fileBytesMax = 1 << 20

    private let flags: Flags
    private let environment: [String: String]
    private let readFile: ReadFile

    package init(
        flags: Flags, environment: [String: String],
        readFile: @escaping ReadFile = { (path, bytesMax) throws(ApusError) in
            try SettingsLoader.readFile(path, bytesMax: bytesMax)
        }
    ) {
        self.flags = flags
        self.environment = environment
        self.readFile = readFile
    }

    /// - Throws: everything that is wrong, at once.
    package func load() throws(SettingsFailure) -> Loaded {
        var problems = ProblemList()
        let environment = EnvironmentLayer(environment, readFile: readFile, problems: &problems)
        let (path, file) = fileLayer(environment, &problems)
        var builder = SettingsBuilder(
            file: file, environment: environment.values, flags: flags, problems: problems)
        var settings = builder.settings()
        settings.file = path
        problems = builder.problems
        Contradictions.find(settings, &problems)
        try problems.check(warnings: environment.warnings)
        return Loaded(settings: settings, warnings: environment.warnings)
    }

    private func fileLayer(_ environment: EnvironmentLayer, _ problems: inout ProblemList) -> (String?, FileLayer) {
        let named: RawValue? = flags.configuration.map { RawValue($0, .flag("--config")) } ?? environment.configuration
        guard let named, case .scalar(let path, _) = named.content else { return (nil, FileLayer()) }
        do throws(ApusError) {
            let bytes = try readFile(try ValueText.path(path), SettingsLoader.fileBytesMax)
            return (path, FileLayer(bytes, path: path, problems: &problems))
        } catch {
            problems.add(named.origin, "", error)
            return (path, FileLayer())
        }
    }

    /// The whole file.
    ///
    /// - Throws: `input-output`, naming the file; also where it has more than `bytesMax`, or is no file (a pipe might
    ///   never end).
    package static func readFile(_ path: String, bytesMax: Int) throws(ApusError) -> [UInt8] {
        func failure(_ code: Int32) -> ApusError {
            ApusError(.input, "cannot read \(path): \(String(cString: strerror(code)))")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ApusError(.input, "cannot read \(path): it is no file") }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var count = 0
        while count < bytes.count {
            let read = bytes.withUnsafeMutableBytes { space in
                guard let base = space.baseAddress else { return 0 }
                return Glibc.read(descriptor, base + count, space.count - count)
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw failure(errno) }
            if read == 0 { break }
            count += read
        }
        guard count <= bytesMax else {
            throw ApusError(.input, "cannot read \(path): it has more than \(bytesMax) bytes")
        }
        return Array(bytes[..<count])
    }
}
