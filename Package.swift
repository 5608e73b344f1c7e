// swift-tools-version: 6.2
import PackageDescription

/// `APUS_STRICT=1` turns every warning of our own targets into an error; scripts/test.sh sets it.
/// It is not the default, so that a newer compiler's new warning never stops a stranger's build.
let strict = Context.environment["APUS_STRICT"] == "1"

let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioLocks = Target.Dependency.product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let atomics = Target.Dependency.product(name: "Atomics", package: "swift-atomics")
let hummingbird = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let nioExtras = Target.Dependency.product(name: "NIOExtras", package: "swift-nio-extras")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let sqlite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

/// Only for `scripts/fuzz.sh`, which sets `APUS_FUZZ=1` and adds the sanitizers: libFuzzer brings its own `main`.
let fuzzers: [Target] =
    Context.environment["APUS_FUZZ"] == "1"
    ? [
        .executableTarget(
            name: "apus-fuzz",
            dependencies: ["ApusModel", "ApusWire", nio],
            path: "Fuzz",
            exclude: ["Corpus", "FailCases"],
            swiftSettings: settings)
    ] : []

// The order of the targets is the order in which a message meets them; imports point one way only.
let package = Package(
    name: "apus",
    products: [
        .executable(name: "apus", targets: ["apus"]),
        .library(name: "ApusClient", targets: ["ApusClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", .upToNextMinor(from: "2.101.2")),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", .upToNextMinor(from: "2.37.6")),
        .package(url: "https://github.com/apple/swift-log.git", .upToNextMinor(from: "1.16.2")),
        .package(url: "https://github.com/apple/swift-collections.git", .upToNextMinor(from: "1.6.0")),
        .package(url: "https://github.com/apple/swift-atomics.git", .upToNextMinor(from: "1.3.0")),
        .package(url: "https://github.com/apple/swift-argument-parser.git", .upToNextMinor(from: "1.8.2")),
        .package(
            url: "https://github.com/hummingbird-project/hummingbird.git", .upToNextMinor(from: "2.28.1"), traits: []),
        .package(url: "https://github.com/apple/swift-http-types.git", .upToNextMinor(from: "1.8.0")),
        .package(url: "https://github.com/apple/swift-nio-extras.git", .upToNextMinor(from: "1.35.2")),
        .package(url: "https://github.com/jpsim/Yams.git", .upToNextMinor(from: "6.2.2")),
        .package(url: "https://github.com/apple/swift-crypto.git", .upToNextMinor(from: "4.5.2")),
        .package(url: "https://github.com/groue/GRDB.swift.git", .upToNextMinor(from: "7.10.0")),
        .package(
            url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", .upToNextMinor(from: "0.2.0")),
    ],
    targets: [
        .target(name: "CApus"),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(name: "ApusModel", dependencies: ["CApus", nio], swiftSettings: settings),
        .target(name: "ApusWire", dependencies: ["ApusModel", nio], swiftSettings: settings),
        .target(name: "ApusTLS", dependencies: ["ApusModel", nioSSL], swiftSettings: settings),
        .target(
            name: "ApusBroker",
            dependencies: ["ApusModel", nio, nioLocks, deque, atomics, logging],
            swiftSettings: settings),
        .target(
            name: "ApusMigrations",
            path: "migrations",
            resources: [.embedInCode("0001_initial.sql")],
            swiftSettings: settings),
        .target(
            name: "ApusStore",
            dependencies: ["ApusModel", "ApusBroker", "ApusMigrations", "CApus", nio, nioLocks, logging, grdb, sqlite],
            swiftSettings: settings),
        .target(
            name: "ApusSecurity",
            dependencies: ["ApusModel", "ApusBroker", nioLocks, yams, crypto, cryptoExtras],
            swiftSettings: settings),
        .target(
            name: "ApusServer",
            dependencies: [
                "ApusModel", "ApusTLS", "ApusWire", "ApusBroker", nio, nioPosix, nioTLS, nioSSL, nioLocks, atomics,
                logging, deque,
            ],
            swiftSettings: settings),
        .target(
            name: "ApusHTTP",
            dependencies: [
                "ApusModel", "ApusBroker", hummingbird, httpTypes, nioExtras, nioHTTPTypes, nio, nioPosix, logging,
            ],
            swiftSettings: settings),
        .target(
            name: "ApusClient",
            dependencies: [
                "ApusModel", "ApusTLS", "ApusWire", nio, nioPosix, nioTLS, nioSSL, nioLocks, deque, logging,
            ],
            swiftSettings: settings),
        .target(name: "ApusSettings", dependencies: ["ApusModel", logging, yams], swiftSettings: settings),
        .executableTarget(
            name: "apus",
            dependencies: [
                "ApusModel", "ApusWire", "ApusBroker", "ApusStore", "ApusSecurity", "ApusServer", "ApusHTTP",
                "ApusClient", "ApusSettings", "CZlib", "CLinux",
                nio, nioPosix, nioLocks, logging, atomics, arguments, histogram, grdb, sqlite,
            ],
            swiftSettings: settings),
        .target(
            name: "ApusTesting",
            dependencies: [
                "ApusModel", "ApusWire", "ApusBroker", nio, nioEmbedded, nioTLS, nioSSL, nioLocks, logging,
            ],
            swiftSettings: settings),
        .testTarget(name: "ApusModelTests", dependencies: ["ApusModel", "ApusTesting", nio], swiftSettings: settings),
        .testTarget(
            name: "ApusWireTests",
            dependencies: ["ApusModel", "ApusWire", "ApusTesting", nio],
            resources: [.copy("Vectors")],
            swiftSettings: settings),
        .testTarget(
            name: "ApusBrokerTests",
            dependencies: ["ApusModel", "ApusBroker", "ApusTesting", nio, nioEmbedded, nioLocks, atomics, logging],
            swiftSettings: settings),
        .testTarget(
            name: "ApusStoreTests",
            dependencies: [
                "ApusModel", "ApusBroker", "ApusStore", "ApusTesting", "ApusMigrations", "CZlib", nio, nioLocks,
                logging, grdb, sqlite,
            ],
            resources: [.copy("Resources")],
            swiftSettings: settings),
        .testTarget(
            name: "ApusSecurityTests",
            dependencies: ["ApusModel", "ApusBroker", "ApusSecurity", nioLocks],
            swiftSettings: settings),
        .testTarget(
            name: "ApusServerTests",
            dependencies: [
                "ApusModel", "ApusWire", "ApusBroker", "ApusStore", "ApusSecurity", "ApusServer", "ApusTesting", nio,
                nioPosix, nioEmbedded, nioSSL, nioLocks, atomics, logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ApusHTTPTests",
            dependencies: [
                "ApusModel", "ApusWire", "ApusBroker", "ApusStore", "ApusServer", "ApusHTTP", "ApusTesting",
                httpTypes, nio, nioEmbedded, logging, yams,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ApusClientTests",
            dependencies: [
                "ApusModel", "ApusWire", "ApusClient", "ApusBroker", "ApusStore", "ApusServer", "ApusTesting", nio,
                nioPosix, nioLocks,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ApusSettingsTests",
            dependencies: ["ApusModel", "ApusSettings", "ApusTesting", logging],
            swiftSettings: settings),
        .testTarget(
            name: "ApusTests",
            dependencies: [
                "apus", "ApusSettings", "ApusModel", "ApusWire", "ApusClient", "ApusBroker", "ApusServer", "ApusHTTP",
                "ApusTesting", nio, nioPosix, nioLocks, logging, arguments,
            ],
            swiftSettings: settings),
        // Real processes through the command line: it needs the built `apus` beside it.
        .testTarget(
            name: "ApusProcessTests",
            dependencies: [
                "apus", "ApusModel", "ApusWire", "ApusClient", "ApusTesting", nio, nioPosix, nioLocks, logging,
            ],
            resources: [.copy("Resources")],
            swiftSettings: settings),
        .executableTarget(
            name: "apus-benchmarks",
            dependencies: [
                "ApusModel", "ApusWire", "ApusBroker", "ApusStore", "ApusServer", "ApusClient", "ApusMigrations",
                "CApus", nio, nioPosix, nioLocks, logging, arguments, histogram, grdb, sqlite,
            ],
            path: "Benchmarks",
            swiftSettings: settings),
    ] + fuzzers,
    swiftLanguageModes: [.v6]
)
