import ApusBroker
import Testing

@testable import ApusHTTP

@Suite("Metrics as text")
struct PrometheusTextTests {
    @Test("have HELP and TYPE, labels in quotes, whole numbers without a point")
    func simple() throws {
        let text = PrometheusText.write([
            MetricFamily(.connections, 3), MetricFamily(.cpu, 0.25),
            MetricFamily(.errors, by: "code", [("storage-full", 7), ("odd\"\\\nname", 1)]),
        ])
        #expect(
            text == """
                # HELP apus_connections Connections that are open.
                # TYPE apus_connections gauge
                apus_connections 3
                # HELP process_cpu_seconds_total CPU time that the process has used.
                # TYPE process_cpu_seconds_total counter
                process_cpu_seconds_total 0.25
                # HELP apus_errors_total Errors and refusals told to clients, by their code.
                # TYPE apus_errors_total counter
                apus_errors_total{code="storage-full"} 7
                apus_errors_total{code="odd\\"\\\\\\nname"} 1

                """)
        let read = try Exposition(text)
        #expect(read.value("apus_errors_total", ["code": "odd\"\\\nname"]) == 1)
    }

    @Test("give a distribution as cumulative buckets, in base units, with sum and count")
    func distribution() throws {
        let distribution = Distribution(bounds: [1_000_000, 2_000_000], scale: 1e9)
        for nanoseconds in [500_000, 1_000_000, 1_500_000, 9_000_000] { distribution.record(nanoseconds) }
        let text = PrometheusText.write([MetricFamily(.syncDuration, distribution)])
        #expect(
            text.split(separator: "\n").dropFirst(2) == [
                #"apus_fsync_duration_seconds_bucket{le="0.001"} 2"#,
                #"apus_fsync_duration_seconds_bucket{le="0.002"} 3"#,
                #"apus_fsync_duration_seconds_bucket{le="+Inf"} 4"#, "apus_fsync_duration_seconds_sum 0.012",
                "apus_fsync_duration_seconds_count 4",
            ])
        _ = try Exposition(text)
    }

    @Test("keep large numbers exact, and the odd ones as the format writes them")
    func numbers() throws {
        let values = [9_007_199_254_740_991, 1e300, .infinity, -.infinity, .nan, 1_795_416_975.554555]
        let lines = values.map { value in
            PrometheusText.write([MetricFamily(.logHead, value)]).split(separator: "\n")[2]
        }
        #expect(
            lines
                == ["9007199254740991", "1e+300", "+Inf", "-Inf", "NaN", "1795416975.554555"].map {
                    "apus_log_head_seq \($0)"
                })
    }

    @Test(
        "are read strictly by the tests: each of these is an error",
        arguments: [
            "a 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a counter\na 1\n",
            "# HELP a_total x\n# TYPE a_total counter\na_total -1\n", "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a x\n# TYPE a gauge\nb 1\n", "# HELP a x\n# TYPE a gauge\na{b=\"\\t\"} 1\n",
            "# HELP a x\n# TYPE a gauge\na 1", "# HELP a x\n# TYPE a gauge\na one\n",
            "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
            "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_sum 1\na_count 2\n",
        ])
    func parserIsStrict(text: String) {
        #expect(throws: Exposition.Fault.self) { try Exposition(text) }
    }
}
