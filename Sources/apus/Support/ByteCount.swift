/// Sizes as people read them: `512 B`, `1.5 KiB`, `64 MiB`.
enum ByteCount {
    static func text(_ bytes: Int) -> String {
        guard bytes >= 1_024 else { return "\(bytes) B" }
        var value = Double(bytes)
        for unit in ["KiB", "MiB", "GiB", "TiB"] {
            value /= 1_024
            if value < 1_023.95 || unit == "TiB" { return "\(oneDigit(value)) \(unit)" }
        }
        return "\(bytes) B"
    }

    /// With one digit after the point, unless that is 0.
    private static func oneDigit(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}
