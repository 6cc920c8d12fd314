package main

import (
	"maps"
	"slices"
	"time"

	"eventshop.example/bench/database"
	"eventshop.example/bench/report"
)

// Names of rows that other files and the limits refer to.
const (
	statementsRow = "statements"
	commitsRow    = "commits"
	writesRow     = "transactions that write"
	walRow        = "log written"
)

// costs adds rows about what n units used: counts per unit, and processor time per 1,000 units of
// each process.
func costs(r *report.Result, side, unit string, u database.Usage, n int) {
	per := func(v float64) float64 { return v / float64(n) }
	if len(u.Statements) > 0 {
		r.Row(statementsRow, "per "+unit, report.Count).Add(side, per(float64(u.AllStatements())))
	}
	if len(u.Statements) > 1 {
		for _, name := range slices.Sorted(maps.Keys(u.Statements)) {
			r.Row("  in "+name, "per "+unit, report.Count).Add(side, per(float64(u.Statements[name])))
		}
	}
	r.Row(commitsRow, "per "+unit, report.Count).Add(side, per(float64(u.Commits)))
	r.Row(writesRow, "per "+unit, report.Count).Add(side, per(float64(u.Writes)))
	r.Row(walRow, "kB per "+unit, report.Count).Add(side, per(float64(u.WAL)/1000))
	thousand := func(d time.Duration) float64 { return per(d.Seconds() * 1000) }
	r.Row("processor time", "s per 1,000", report.Time).Add(side, thousand(u.AllCPU()))
	if len(u.CPU) > 1 {
		for _, name := range slices.Sorted(maps.Keys(u.CPU)) {
			r.Row("  "+name, "s per 1,000", report.Time).Add(side, thousand(u.CPU[name]))
		}
	}
}
