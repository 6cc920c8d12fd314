// Package sample has a line for each thing that the program reports, and some that it does not.
package sample

import (
	"errors"
	"io"
	"os"

	"github.com/jackc/pgx/v5"
)

var errSample = errors.New("sample")

// State is a state of an aggregate.
type State struct{ Status int }

// Dropped drops errors.
func Dropped(f *os.File) {
	f.Sync()  // want `unchecked error (errcheck)`
	f.Close() // want `unchecked error (errcheck)`
	f.Sync()  //nolint:errcheck // a directive with a reason
	defer f.Close()
	defer f.Sync() // want `unchecked error (errcheck)`
	os.Remove(f.Name())
}

// Compared compares an error that may be wrapped.
func Compared(err error) bool {
	return err == errSample // want `comparing with == will fail on wrapped errors`
}

// Read reads rows by hand.
func Read(rows pgx.Rows) (n int) {
	for rows.Next() { // want `rows are read by hand`
		n++
	}
	rows.Close()
	return n
}

// Changed changes a copy and loses the change.
func Changed(s State) {
	s.Status = 1 // want `unused write to field Status`
}

// Pointer uses what it knows to be nil.
func Pointer(s *State) int {
	if s == nil {
		return s.Status // want `nil dereference in field selection`
	}
	return s.Status
}

func forgotten() {} // want `func forgotten is unused (U1000)`

// Appended appends nothing.
func Appended(all []string) []string {
	return append(all) // want `x = append(y) is equivalent to x = y (SA4021)`
}

// All has a directive that suppresses nothing.
func All(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(r) //nolint:errcheck // want `the directive suppresses no finding of errcheck`
	return b, err
}

// Unknown has a directive that names no check.
func Unknown() {} //nolint:nosuch // want `the directive names no check of this linter`
