import ApusModel

/// The code of the error that `body` throws, or nil.
func code(_ body: () throws(ApusError) -> Void) -> ApusError.Code? {
    do throws(ApusError) {
        try body()
        return nil
    } catch {
        return error.code
    }
}

func parse(_ bytes: [UInt8]) throws(ApusError) -> JSON {
    let result = bytes.withUnsafeBytes { bytes in
        Result<JSON, ApusError> { () throws(ApusError) in try JSONParser.parse(bytes) }
    }
    return try result.get()
}
