package check_test

import (
	"fmt"

	"eventshop.example/proof/check"
)

// account is money that two customers withdraw: each first looks, then takes.
type account struct {
	Left   int
	Looked [2]bool // found enough
	Took   [2]bool
}

// Two customers look at the same account before either takes the money.
func ExampleExplore() {
	sys := check.System[account, string]{
		Starts: []account{{Left: 1}},
		Steps: func(a account, steps []check.Step[account, string]) []check.Step[account, string] {
			for i := range a.Looked {
				next := a
				switch {
				case !a.Looked[i] && a.Left > 0:
					next.Looked[i] = true
					steps = append(steps, check.Step[account, string]{Move: fmt.Sprintf("customer %d looks", i+1), Progress: true, To: next})
				case a.Looked[i] && !a.Took[i]:
					next.Took[i] = true
					next.Left--
					steps = append(steps, check.Step[account, string]{Move: fmt.Sprintf("customer %d takes", i+1), Progress: true, To: next})
				}
			}
			return steps
		},
		Encode: func(b []byte, a account) []byte { return fmt.Append(b, a) },
		Broken: func(_, to account) *check.Breach {
			if to.Left < 0 {
				return &check.Breach{Invariant: "money", Text: fmt.Sprintf("%d left", to.Left)}
			}
			return nil
		},
		AtRest: func(account) *check.Breach { return nil },
	}
	found := check.Explore(sys, 0)
	for _, s := range found.Path.Steps {
		fmt.Println(s.Move)
	}
	fmt.Println(found.Breach.Invariant+":", found.Breach.Text)
	// Output:
	// customer 1 looks
	// customer 2 looks
	// customer 1 takes
	// customer 2 takes
	// money: -1 left
}
