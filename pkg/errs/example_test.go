package errs_test

import (
	"errors"
	"fmt"

	"eventshop.example/pkg/errs"
)

// The code that meets an error knows its kind. Code between adds what it attempted, and the edge (a
// consumer, an HTTP handler) decides by the kind.
func ExampleKindOf() {
	err := errs.New(errs.Transient, "connection refused")
	err = fmt.Errorf("reserve a locker: %w", err)
	fmt.Println(errs.KindOf(err), "-", err)

	err = errors.Join(errs.Field("size", "is unknown"), errs.Field("city", "is required"))
	fmt.Println(errs.KindOf(err), "-", errs.Fields(err))

	fmt.Println(errs.KindOf(errors.New("no code says what this is")))
	// Output:
	// transient - reserve a locker: connection refused
	// invalid - [{size is unknown} {city is required}]
	// internal
}
