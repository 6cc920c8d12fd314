package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

func dlqShowCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Shows a dead letter: error, stack, headers, decoded payload, audit trail",
		Long: `Shows all that is known of a dead letter. The payload is decoded with the schema it was
written with; what cannot be decoded is shown as bytes. ID may be the beginning or the
end of one, from four characters on, as long as no other has it too.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.fleet()
			if err != nil {
				return err
			}
			defer o.asking()()
			found, err := locate(cmd.Context(), f, args)
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, found[0].detail)
			}
			printDetail(o.out, found[0].detail)
			return nil
		},
	}
	o.addJSON(cmd)
	return cmd
}

func printDetail(out io.Writer, d operators.Detail) {
	field := func(name, format string, args ...any) {
		fmt.Fprintf(out, "  %-10s %s\n", name, line(fmt.Sprintf(format, args...), 0))
	}
	fmt.Fprintf(out, "dead letter %s\n", d.ID)
	status := string(d.Status)
	if d.Edited {
		status += ", edited"
	}
	field("status", "%s", status)
	field("group", "%s", d.Group)
	field("event", "%s", d.EventType)
	if d.EventID != "" {
		field("event id", "%s", d.EventID)
	}
	field("key", "%s", keyText(d.KeyText(), d.KeyBase64))
	field("record", "%s, partition %d, offset %d, of %s", d.Topic, d.Partition, d.Offset, d.RecordTime.Format(time.RFC3339))
	field("failed", "%s, first %s, last %s", plural(int(d.Attempts), "time", "times"), d.FirstFailure.Format(time.RFC3339), d.LastFailure.Format(time.RFC3339))
	switch {
	case d.Status == operators.Resolved || d.Status == operators.Discarded:
	case d.Parks:
		field("waiting", "%s of its key behind it", plural(int(d.Followers), "record", "records"))
	default:
		field("waiting", "nothing: it parks no key")
	}
	field("class", "%s", d.ErrorClass)
	fmt.Fprintln(out, "\nerror")
	indent(out, d.ErrorMessage)
	if d.ErrorStack != "" {
		fmt.Fprintln(out, "\nstack")
		indent(out, d.ErrorStack)
	}
	printRecord(out, "original", document{Headers: d.Headers, Payload: d.Payload, PayloadBase64: d.PayloadBase64}, d.DecodeError)
	if d.SchemaSubject != "" {
		fmt.Fprintf(out, "\nschema\n  %s\n", line(d.SchemaSubject, 0))
	}
	if e := d.EditedRecord; e != nil {
		printRecord(out, "edited", repaired(e), e.DecodeError)
	}
	fmt.Fprintln(out, "\naudit trail")
	for _, a := range d.Actions {
		fmt.Fprintf(out, "  %s  %-12s  %s", a.At.Format(time.RFC3339), line(a.Actor, 40), line(string(a.Action), 40))
		if a.Detail != "" {
			fmt.Fprintf(out, ": %s", line(a.Detail, 200))
		}
		fmt.Fprintln(out)
	}
}

// printRecord prints the record in its original or its edited form.
func printRecord(out io.Writer, which string, r document, decodeError string) {
	if r.Key != nil || r.KeyBase64 != nil {
		fmt.Fprintf(out, "\n%s key\n  %s\n", which, keyText(deref(r.Key), deref(r.KeyBase64)))
	}
	fmt.Fprintf(out, "\n%s headers\n", which)
	if len(r.Headers) == 0 {
		fmt.Fprintln(out, "  none")
	}
	for _, h := range r.Headers {
		fmt.Fprintf(out, "  %s = %s\n", either(h.Key, h.KeyBase64, 0), either(h.Value, h.ValueBase64, 200))
	}
	fmt.Fprintf(out, "\n%s payload\n", which)
	if len(r.Payload) > 0 {
		var pretty bytes.Buffer
		if json.Indent(&pretty, r.Payload, "", "  ") == nil {
			indent(out, pretty.String())
			return
		}
	}
	if decodeError != "" {
		fmt.Fprintf(out, "  cannot be decoded: %s\n", line(decodeError, 0))
	}
	b, err := base64.StdEncoding.DecodeString(deref(r.PayloadBase64))
	switch {
	case err != nil:
		fmt.Fprintf(out, "  %s\n", line(*r.PayloadBase64, 0)) // invalid base64, so printed unchanged
	case len(b) == 0:
		fmt.Fprintln(out, "  none")
	default:
		const shown = 512 // enough to recognise the payload; --json has all
		indent(out, hex.Dump(b[:min(len(b), shown)]))
		if len(b) > shown {
			fmt.Fprintf(out, "  … %d bytes in all; --json has them in base64\n", len(b))
		}
	}
}

// either formats a text, or the base64 of a value that is not text.
func either(text, inBase64 *string, most int) string {
	if inBase64 != nil {
		return line("base64:"+*inBase64, most)
	}
	return line(deref(text), most)
}

// deref returns the value of an optional field, or the zero value without one.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
