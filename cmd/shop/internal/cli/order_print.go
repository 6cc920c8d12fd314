package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/story"
	"eventshop.example/pkg/httpapi"
)

// clock is the format of a time of day; the heading has the date.
const clock = "15:04:05.000"

// printHeading prints the line above an order's pages. It returns when the order began, from which the
// times below the line count.
func (o *operator) printHeading(s story.Story) (began time.Time) {
	began = s.At
	if len(s.Events) > 0 {
		began = s.Events[0].At
	}
	status := "status unknown"
	if s.Order != nil {
		status = term.State(o.out, harmless(s.Order.Status, 40))
	}
	fmt.Fprintf(o.out, "order %s  %s  %s  %s\n", s.OrderID, status, harmless(s.Style, 40), began.Local().Format("2006-01-02 MST"))
	return began
}

func (o *operator) printStory(s story.Story) error {
	began := o.printHeading(s)
	if d := s.Order; d != nil {
		fmt.Fprintf(o.out, "%s %s, placed %s, to be confirmed by %s\n", harmless(d.TotalAmount.String(), 40), harmless(d.Currency, 10),
			moment(d.PlacedAt, began), moment(d.ConfirmBy, began))
		if d.Cancellation != nil {
			fmt.Fprintf(o.out, "cancellation: %s%s\n", harmless(d.Cancellation.Reason, 60), detail(d.Cancellation.Detail))
		}
		if d.Attention != nil {
			fmt.Fprintf(o.out, "needs attention: %s%s\n", harmless(d.Attention.Reason, 60), detail(d.Attention.Detail))
		}
	}
	fmt.Fprintln(o.out)
	var rows [][]string
	named := causesFit(s.Events)
	for _, e := range s.Events {
		rows = append(rows, eventRow(e, began, named))
	}
	if len(rows) == 0 {
		fmt.Fprintln(o.out, "no events")
	} else if err := table(o.out, "N TIME SERVICE EVENT CAUSE DELAY NOTE", rows); err != nil {
		return err
	}
	fmt.Fprintln(o.out)
	parts := [][]string{{"money", money(s.Money)}, {"stock", stock(s.Stock)}, {"parcel", parcel(s.Parcel)}, {"mail", mail(s.Mail, began)}}
	if err := term.Columns(o.out, []string{"", ""}, parts); err != nil {
		return err
	}
	if err := o.printFailures(s, began); err != nil {
		return err
	}
	fmt.Fprintln(o.out)
	return o.printSentences(s)
}

// namesFit bounds the columns for the types of an event and of its cause, so that notes fit beside
// them.
const namesFit = 42

// causesFit reports whether causes can be shown by number and type. Otherwise the number is enough.
func causesFit(events []story.Event) bool {
	event, cause := 0, 0
	for _, e := range events {
		event, cause = max(event, len(e.Type)), max(cause, len(e.Cause.Type))
	}
	return event+cause <= namesFit
}

// eventRow returns an event's row: number, time, service, event, cause, delay, note.
func eventRow(e story.Event, began time.Time, named bool) []string {
	cause := "-"
	switch e.Cause.Kind {
	case story.ByEvent:
		if cause = fmt.Sprintf("← %d", e.Cause.N); named {
			cause += " " + harmless(e.Cause.Type, 40)
		}
	case story.ByOutside:
		cause = "← " + harmless(e.Cause.Type, 40)
	case story.ByUnknown:
		cause = "← unknown " + harmless(e.Cause.ID, 36)
	}
	delay := "-"
	if e.DelayMS != nil {
		delay = gap(time.Duration(*e.DelayMS * float64(time.Millisecond)))
	}
	return []string{strconv.Itoa(e.N), moment(e.At, began), harmless(e.Service, 20), harmless(e.Type, 40), cause, delay, note(e)}
}

// moment formats the local time of day, with the date if it differs from the heading's.
func moment(at, began time.Time) string {
	at, began = at.Local(), began.Local()
	if at.Format(time.DateOnly) != began.Format(time.DateOnly) {
		return at.Format(time.DateOnly + " " + clock)
	}
	return at.Format(clock)
}

// gap formats a delay with a sign, and with milliseconds if they matter.
func gap(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%s%dms", sign, d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%s%.3fs", sign, d.Seconds())
	}
	return sign + span(d)
}

// note returns the special facts about an event and its short fields.
func note(e story.Event) string {
	var notes []string
	if e.Problem != "" {
		notes = append(notes, harmless(e.Problem, 80)+" ("+harmless(e.Topic, 40)+")")
	}
	if !e.Published {
		notes = append(notes, "not published yet")
	}
	if len(e.Copies) > 1 {
		var at []string
		for i, c := range e.Copies {
			if i == 5 {
				at = append(at, "…")
				break
			}
			at = append(at, fmt.Sprintf("%d/%d", c.Partition, c.Offset))
		}
		notes = append(notes, fmt.Sprintf("%d copies: %s", len(e.Copies), strings.Join(at, ", ")))
	}
	if e.DelayMS != nil && *e.DelayMS < 0 {
		notes = append(notes, "clocks differ")
	}
	if service, is := e.Command(); is && e.Problem == "" {
		notes = append(notes, "command to "+service)
	}
	if e.Problem == "" {
		notes = append(notes, said(e)...)
	}
	if e.DataError != "" {
		notes = append(notes, harmless(e.DataError, 80))
	}
	return strings.Join(notes, "; ")
}

// said returns an event's fields that fit a line: amount, reason, tracking, detail.
func said(e story.Event) (notes []string) {
	var d struct {
		Amount, TotalAmount                             *int64
		Currency, Reason, TrackingID, DeclineCode, Code string
		Detail, Carrier, Command, Outcome               string
	}
	if json.Unmarshal(e.Data, &d) != nil {
		return nil
	}
	for _, minor := range []*int64{d.Amount, d.TotalAmount} {
		if minor != nil {
			notes = append(notes, harmless(httpapi.FormatAmount(*minor, d.Currency).String()+" "+d.Currency, 40))
		}
	}
	if d.Outcome != "" {
		notes = append(notes, harmless(d.Command, 40)+" is "+harmless(d.Outcome, 40)) // the answer to a command without an event of its own
	}
	for _, text := range []string{d.Reason, d.DeclineCode, d.Code, d.TrackingID, d.Detail} {
		if text != "" {
			notes = append(notes, harmless(text, 80))
		}
	}
	return notes
}

func money(m story.Money) string {
	var parts []string
	if g := m.Gateway; g != nil {
		text := harmless(g.Status, 20)
		switch g.Status {
		case "captured":
			text = fmt.Sprintf("charged %s %s, refunded %s", harmless(g.Amount.String(), 40), harmless(g.Currency, 10), harmless(g.Refunded.String(), 40))
		case "declined":
			text = "declined: " + harmless(g.DeclineCode, 60)
		}
		parts = append(parts, "gateway: "+text)
	} else {
		parts = append(parts, "gateway: nothing known")
	}
	if p := m.Payment; p != nil {
		text := harmless(p.Status, 40)
		if p.Captured != "" {
			text += ", charged " + harmless(p.Captured.String(), 40)
		}
		if p.Refunded != "" {
			text += ", refunded " + harmless(p.Refunded.String(), 40)
		}
		if p.Reason != "" {
			text += " because of " + harmless(p.Reason, 60)
		}
		if p.DeclineCode != "" {
			text += ", declined: " + harmless(p.DeclineCode, 60)
		}
		parts = append(parts, "payment: "+text)
	} else {
		parts = append(parts, "payment: nothing known")
	}
	return strings.Join(parts, "; ")
}

func stock(s *story.Stock) string {
	if s == nil {
		return "nothing known"
	}
	var items []string
	for _, i := range s.Items {
		items = append(items, fmt.Sprintf("%d × %s", i.Quantity, harmless(i.SKU, 64)))
	}
	if len(items) == 0 {
		return harmless(s.Status, 40)
	}
	return harmless(s.Status, 40) + ": " + strings.Join(items, ", ")
}

func mail(m *story.Mail, began time.Time) string {
	if m == nil {
		return "the customer has got no mail about this order"
	}
	text := harmless(m.Status, 40)
	if m.To != "" {
		text += " to " + harmless(m.To, 80)
	}
	if m.EndedAt != nil {
		text += ", " + moment(*m.EndedAt, began)
	}
	if m.Attempts > 1 {
		text += fmt.Sprintf(", after %d attempts", m.Attempts)
	}
	if m.Subject != "" {
		text += ": " + harmless(m.Subject, 80)
	}
	if m.Reason != "" || m.Detail != "" {
		text += " (" + harmless(m.Reason, 60) + detail(m.Detail) + ")"
	}
	return text
}

func parcel(p *story.Parcel) string {
	if p == nil {
		return "nothing known"
	}
	text := harmless(p.Status, 40)
	if p.TrackingID != "" {
		text += ", tracking " + harmless(p.TrackingID, 80)
	}
	if p.Carrier != "" {
		text += " of " + harmless(p.Carrier, 80)
	}
	if p.Reason != "" {
		text += ": " + harmless(p.Reason, 60) + detail(p.Detail)
	}
	return text
}
