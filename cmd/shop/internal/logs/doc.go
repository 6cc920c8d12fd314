// Package logs merges the logs of a shop's processes by time.
//
// The processes write many formats: the services JSON by slog, broker and registry slog's plain
// lines, PostgreSQL, Apache Kafka, Kafka Connect and the compose stack's registry their own. The
// package reads time, level and message of a line, and the attributes of JSON. A line without a
// time belongs to the line before it, and stays with it. Times without a zone are in the zone in
// which the process runs.
//
// The lines of one process keep their order, whatever their times are. Lines with equal times keep
// the order of the processes. The result of [Line] has no control characters. While following, the
// package merges the lines since the last poll, so lines of two processes may be in the wrong order
// if one of them wrote late.
package logs
