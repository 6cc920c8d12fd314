// Command proof explores the order saga within bounds and reports what it found. It exits with 1 when
// an invariant is violated, and prints the run that violates it. See proof/README.md.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"eventshop.example/proof/check"
	"eventshop.example/proof/diagram"
	"eventshop.example/proof/mutation"
	"eventshop.example/proof/shop"
	"eventshop.example/services/orchestrator/orchestrator"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

// options are the program's flags.
type options struct {
	bounds    shop.Bounds
	orders    int
	style     string
	version   int // of the definition
	walks     int
	seed      uint64
	most      int
	svg       string
	mutation  string
	mutations bool
}

func parse(args []string, out io.Writer) (options, error) {
	o := options{bounds: shop.Bounds{Crashes: 1, Lost: 1}}
	set := flag.NewFlagSet("proof", flag.ContinueOnError)
	set.SetOutput(out)
	for name, bound := range map[string]struct {
		value *uint8
		most  uint8
		usage string
	}{
		"crashes":    {&o.bounds.Crashes, 3, "how often a process can end at the worst moment"},
		"duplicates": {&o.bounds.Duplicates, 3, "how many records a relay can publish again"},
		"forgotten":  {&o.bounds.Forgotten, 3, "how often an inbox does not know a record that comes again"},
		"lost":       {&o.bounds.Lost, 3, "how many answers of the gateway and the carrier can get lost"},
		"spent":      {&o.bounds.Spent, 2, "how often the attempts to return money can be used up"},
		"late":       {&o.bounds.Late, 3, "how often a time limit of the orchestrator can pass"},
		"retries":    {&o.bounds.Retries, 3, "how often an operator can have the orchestrator's last command sent again"},
	} {
		set.Func(name, fmt.Sprintf("%s, 0 to %d (default %d)", bound.usage, bound.most, *bound.value), func(s string) error {
			n, err := strconv.ParseUint(s, 10, 8)
			if err != nil || n > uint64(bound.most) {
				return fmt.Errorf("must be 0 to %d", bound.most)
			}
			*bound.value = uint8(n)
			return nil
		})
	}
	set.IntVar(&o.orders, "orders", 1, "1, or 2 that want the same SKU, with stock for one or none")
	set.StringVar(&o.style, "style", "choreographed", "choreographed, orchestrated or both: one order of either, or two orders, one of each")
	set.IntVar(&o.version, "definition", 1, "the version of the steps of orchestrated orders")
	set.IntVar(&o.walks, "walks", 0, "make this many random runs in place of all runs")
	set.Uint64Var(&o.seed, "seed", 1, "of the random runs")
	set.IntVar(&o.most, "limit", 0, "stop after this many states; 0: visit all (a million states need about 600 MB)")
	set.StringVar(&o.svg, "svg", "", "draw the run that violates an invariant to this file")
	set.StringVar(&o.mutation, "mutation", "", "explore a shop with this mistake, within the bounds that it shows in")
	set.BoolVar(&o.mutations, "mutations", false, "look for each of the mistakes that are known")
	err := set.Parse(args)
	switch {
	case err != nil:
	case set.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	case o.orders < 1 || o.orders > 2:
		err = errors.New("--orders must be 1 or 2")
	case o.version < 1 || o.version > len(orchestrator.Definitions()):
		err = fmt.Errorf("--definition must be 1 to %d", len(orchestrator.Definitions()))
	case len(o.coordinations()) == 0:
		err = errors.New("--style must be choreographed, orchestrated or both")
	}
	return o, err
}

// coordinations returns how the orders are coordinated, once per exploration.
func (o options) coordinations() [][]shop.Coordination {
	choreographed, orchestrated := shop.Coordination{}, shop.Coordination{Style: shop.Orchestrated, Definition: o.version}
	switch {
	case o.style == "both" && o.orders == 1:
		return [][]shop.Coordination{{choreographed}, {orchestrated}}
	case o.style == "both":
		return [][]shop.Coordination{{choreographed, orchestrated}}
	case o.style == "choreographed":
		return [][]shop.Coordination{slices.Repeat([]shop.Coordination{choreographed}, o.orders)}
	case o.style == "orchestrated":
		return [][]shop.Coordination{slices.Repeat([]shop.Coordination{orchestrated}, o.orders)}
	}
	return nil
}

func run(args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.mutations {
		return findAll(out)
	}
	model, title := shop.New(shop.Real(), shop.Rules{}), "The order saga"
	if o.mutation != "" {
		m, err := named(o.mutation)
		if err != nil {
			return err
		}
		model, title, o.bounds, o.style, o.orders = m.Model(), "Mistake: "+m.Text, m.Bounds, m.Order.Style.String(), 1
		o.version = max(m.Order.Definition, 1)
	}
	for _, orders := range o.coordinations() {
		if err := explore(o, model, title, orders, out); err != nil {
			return err
		}
	}
	return nil
}

// explore makes all runs, or random ones, of orders that are coordinated so.
func explore(o options, model *shop.Model, title string, orders []shop.Coordination, out io.Writer) error {
	system := model.System(orders, o.bounds, 0, 1)
	var found check.Result[shop.World, shop.Move]
	if o.walks > 0 {
		fmt.Fprintf(out, "%s: %d random runs, orders: %d, %v, %v\n", title, o.walks, o.orders, orders, o.bounds)
		found = check.Walk(system, o.walks, o.seed)
	} else {
		fmt.Fprintf(out, "%s: all runs, orders: %d, %v, %v\n", title, o.orders, orders, o.bounds)
		found = check.Explore(system, o.most)
	}
	fmt.Fprintf(out, "%d states, %d transitions, %d at rest, %d steps at most, %.1f s\n",
		found.States, found.Transitions, found.Ends, found.Depth, found.Took.Seconds())
	if found.Breach == nil {
		if !found.Complete {
			return errors.New("stopped at the limit: no invariant was violated until then")
		}
		_, err := fmt.Fprintln(out, "no invariant is violated")
		return err
	}
	return show(model, found, title, o.svg, out)
}

// show prints the run that violates an invariant, and returns the violation as an error.
func show(model *shop.Model, found check.Result[shop.World, shop.Move], title, svg string, out io.Writer) error {
	verdict := fmt.Sprintf("%s: %s", found.Breach.Invariant, found.Breach.Text)
	lines := model.Lines(found.Path)
	if err := diagram.Text(out, shop.Columns(found.Path), lines); err != nil {
		return err
	}
	if svg != "" {
		var picture bytes.Buffer
		if err := diagram.SVG(&picture, title, verdict, shop.Columns(found.Path), lines); err != nil {
			return err
		}
		if err := os.WriteFile(svg, picture.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return fmt.Errorf("violated after %d steps: %s", len(lines), verdict)
}

func named(name string) (mutation.Mutation, error) {
	for _, m := range mutation.List() {
		if m.Name == name {
			return m, nil
		}
	}
	return mutation.Mutation{}, fmt.Errorf("there is no mistake %q; --mutations lists them", name)
}

// findAll explores the shop with each mistake, and fails when one is not found.
func findAll(out io.Writer) error {
	missed := 0
	for _, m := range mutation.List() {
		found := check.Explore(m.Model().System([]shop.Coordination{m.Order}, m.Bounds, 0, 1), 0)
		if found.Breach == nil {
			missed++
			fmt.Fprintf(out, "%-27s not found in %d states\n", m.Name, found.States)
			continue
		}
		fmt.Fprintf(out, "%-27s %-16s after %2d steps: %s\n", m.Name, found.Breach.Invariant, len(found.Path.Steps), found.Breach.Text)
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d mistakes were not found", missed, len(mutation.List()))
	}
	_, err := fmt.Fprintf(out, "%d mistakes, each found\n", len(mutation.List()))
	return err
}
