package latency

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/ops/eventshop"
)

// sample is one order.
type sample struct {
	sent     time.Time // just before its POST
	accepted time.Time // when the 201 was read
	steps    []step    // as in way
}

// report prints the figures of the orders. took is the duration of the whole run.
func report(out io.Writer, cfg Config, samples []sample, took time.Duration) {
	fmt.Fprintf(out, "%d orders by %d client(s) after %d to warm up: %.1f orders/s\n\n",
		len(samples), cfg.Clients, cfg.Warmup, float64(len(samples))/took.Seconds())

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ms\tp50\tp90\tp99\tmax\t")
	line := func(name string, of func(sample) time.Duration) {
		d := durations(samples, of)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", name, ms(quantile(d, .5)), ms(quantile(d, .9)), ms(quantile(d, .99)), ms(d[len(d)-1]))
	}
	last := func(s sample) step { return s.steps[len(s.steps)-1] }
	line("accepted → CONFIRMED", func(s sample) time.Duration { return last(s).seen.Sub(s.accepted) })
	line("POST sent → CONFIRMED", func(s sample) time.Duration { return last(s).seen.Sub(s.sent) })
	line("POST sent → accepted", func(s sample) time.Duration { return s.accepted.Sub(s.sent) })
	w.Flush()

	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "hop, ms\tp50\tp99\tto topic p50\tp99\thandled p50\tp99\t")
	names := way()
	for i, to := range names {
		// The first hop ends in this process: from the request to its event.
		hop := durations(samples, func(s sample) time.Duration {
			if i == 0 {
				return s.steps[0].appended.Sub(s.sent)
			}
			return s.steps[i].appended.Sub(s.steps[i-1].appended)
		})
		name, publish, handle := "POST sent", []time.Duration(nil), hop
		if i > 0 {
			name = names[i-1]
			publish = durations(samples, func(s sample) time.Duration { return s.steps[i-1].seen.Sub(s.steps[i-1].appended) })
			handle = durations(samples, func(s sample) time.Duration { return s.steps[i].appended.Sub(s.steps[i-1].seen) })
		}
		fmt.Fprintf(w, "%s → %s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, to, ms(quantile(hop, .5)), ms(quantile(hop, .99)),
			ms(quantile(publish, .5)), ms(quantile(publish, .99)), ms(quantile(handle, .5)), ms(quantile(handle, .99)))
	}
	seen := durations(samples, func(s sample) time.Duration { return last(s).seen.Sub(last(s).appended) })
	fmt.Fprintf(w, "%s → seen here\t%s\t%s\t%[2]s\t%[3]s\t-\t-\t\n", names[len(names)-1], ms(quantile(seen, .5)), ms(quantile(seen, .99)))
	w.Flush()
}

// durations returns one duration of each sample, sorted.
func durations(samples []sample, of func(sample) time.Duration) []time.Duration {
	all := make([]time.Duration, len(samples))
	for i, s := range samples {
		all[i] = of(s)
	}
	slices.Sort(all)
	return all
}

// none stands for a quantile of no values.
const none = time.Duration(math.MinInt64)

// quantile returns the smallest value that at least the share q of all values does not exceed
// ("nearest rank"), which is a measured value.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return none
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// ms formats a duration in milliseconds.
func ms(d time.Duration) string {
	if d == none {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

// reportMemory prints the resident memory of the services.
func reportMemory(out io.Writer, before, after map[string]measure.Memory) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nresident memory, MB\tbefore\tafter\tof it heap and stacks\tprogram\t")
	var sumBefore, sumAfter measure.Memory
	line := func(name string, b, a measure.Memory) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", name, measure.Megabytes(b.All), measure.Megabytes(a.All),
			measure.Megabytes(a.Anonymous), measure.Megabytes(a.File))
	}
	for _, name := range eventshop.Services() {
		line(name, before[name], after[name])
		sumBefore.Add(before[name])
		sumAfter.Add(after[name])
	}
	line("sum", sumBefore, sumAfter)
	w.Flush()
}
