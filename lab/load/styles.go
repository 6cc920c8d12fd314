package load

import (
	"fmt"

	"eventshop.example/pkg/event"
)

// Styles says which styles the sagas of a load's orders have: a style's name, [Mixed], or "" to leave
// the choice to the order service.
type Styles string

// Mixed makes every second order orchestrated, and the others choreographed.
const Mixed Styles = "mixed"

// Check returns an error for a name that is none of these.
func (s Styles) Check() error {
	switch s {
	case "", Mixed, Styles(event.Choreographed), Styles(event.Orchestrated):
		return nil
	}
	return fmt.Errorf("%q is not %s, %s or %s", string(s), event.Choreographed, event.Orchestrated, Mixed)
}

// of returns the style of the nth order, or "". A round of a [Mix] has an odd number of parts, so each
// of them comes in both styles.
func (s Styles) of(n int) string {
	switch {
	case s != Mixed:
		return string(s)
	case n%2 == 1:
		return string(event.Orchestrated)
	}
	return string(event.Choreographed)
}
