package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

// editFlags are the flags that replace the editor.
type editFlags struct {
	file, payload, payloadBase64 string
	setHeaders                   []string
	note                         string
	dryRun                       bool
}

func (f editFlags) interactive() bool {
	return f.file == "" && f.payload == "" && f.payloadBase64 == "" && len(f.setHeaders) == 0
}

func dlqEditCommand(o *operator) *cobra.Command {
	var flags editFlags
	cmd := &cobra.Command{
		Use:   "edit ID",
		Short: "Repairs a dead letter's key, headers or payload before it is resubmitted",
		Long: `Repairs an open dead letter. Without flags that say what to change, $VISUAL or $EDITOR
opens a JSON document; what you change in it is changed, what you delete stays:

  {
    "key": "0198c1d2-…",
    "headers": [{"key": "ce_type", "value": "PaymentCompleted"}, …],
    "payload": {"orderId": "0198c1d2-…", "amount": 9999, …}
  }

The payload is the decoded event and is encoded again with its schema, which must fit;
of a record that cannot be decoded the document has "payloadBase64", the bytes. Bytes
that are no text are in "keyBase64" and "valueBase64". An edit of the headers replaces
all of them.

The original record stays as it was and stays shown. Nothing is tried again yet: see
"shop dlq resubmit".`,
		Example: `  shop dlq edit 0198c1d2-…                                 in the editor
  shop dlq show 0198c1d2-… --json | jq '{payload}' >p.json
  shop dlq edit 0198c1d2-… --file p.json --dry-run         would it fit?
  shop dlq edit 0198c1d2-… --set-header ce_type=PaymentCompleted --note "typo of the producer"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.fleet()
			if err != nil {
				return err
			}
			found, err := locate(cmd.Context(), f, args)
			if err != nil {
				return err
			}
			if d := found[0].detail; d.Status != operators.Open {
				return fmt.Errorf("dead letter %s is %s; only an open one can be edited", d.ID, d.Status)
			}
			return o.edit(cmd, found[0], flags)
		},
	}
	cmd.Flags().StringVar(&flags.file, "file", "", `a file with such a document, whole or in part ("-": standard input)`)
	cmd.Flags().StringVar(&flags.payload, "payload", "", `a file with the new payload as a JSON object ("-": standard input)`)
	cmd.Flags().StringVar(&flags.payloadBase64, "payload-base64", "", `a file with the new payload's bytes in base64 ("-": standard input)`)
	cmd.Flags().StringArrayVar(&flags.setHeaders, "set-header", nil, "NAME=VALUE: sets one header and leaves the others (repeatable)")
	cmd.Flags().StringVar(&flags.note, "note", "", "why, for the audit trail")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only say whether it would fit and what would come of it")
	cmd.MarkFlagsMutuallyExclusive("file", "payload", "payload-base64")
	cmd.MarkFlagsMutuallyExclusive("file", "set-header")
	o.addJSON(cmd)
	return cmd
}

func (o *operator) edit(cmd *cobra.Command, l located, flags editFlags) error {
	before := present(l.detail)
	edit, kept, err := flags.read(cmd, before)
	if err != nil {
		return err
	}
	edit.Note, edit.DryRun = flags.note, flags.dryRun
	if edit.Key == nil && edit.KeyBase64 == nil && edit.Headers == nil && edit.Payload == nil && edit.PayloadBase64 == nil && len(edit.SetHeaders) == 0 {
		if kept != "" {
			os.Remove(kept)
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing was changed, nothing is done")
		return nil
	}
	d, err := operators.Change(cmd.Context(), l.group, func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
		return c.Edit(ctx, l.detail.ID, edit)
	})
	if err != nil {
		if kept != "" {
			err = fmt.Errorf("%w\nyour document is kept: mend it and run `shop dlq edit %s --file %s`", err, l.detail.ID, kept)
		}
		return err
	}
	if kept != "" {
		os.Remove(kept)
	}
	if o.asJSON {
		return printJSON(o.out, d)
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(o.out, "warning: %s\n", line(w, 0))
	}
	if flags.dryRun {
		fmt.Fprintf(o.out, "%s would be edited, and then be:\n", d.ID)
		if d.EditedRecord != nil {
			printRecord(o.out, "edited", repaired(d.EditedRecord), d.EditedRecord.DecodeError)
		}
		return nil
	}
	fmt.Fprintf(o.out, "%s is edited; try it again with `shop dlq resubmit %s`\n", d.ID, d.ID)
	return nil
}

// read returns the edit from the flags or the editor. kept is the editor's file.
func (f editFlags) read(cmd *cobra.Command, before document) (edit operators.Edit, kept string, err error) {
	if f.interactive() {
		after, kept, err := inEditor(cmd, before)
		if err != nil {
			return edit, "", err
		}
		changed(before, after).into(&edit)
		return edit, kept, nil
	}
	for _, h := range f.setHeaders {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return edit, "", fmt.Errorf("--set-header: %q is not NAME=VALUE", h)
		}
		if edit.SetHeaders == nil {
			edit.SetHeaders = map[string]string{}
		}
		edit.SetHeaders[name] = value
	}
	for _, from := range []struct {
		flag, file string
		take       func(b []byte) error
	}{
		{"file", f.file, func(b []byte) error {
			after, err := parseDocument(b)
			changed(before, after).into(&edit)
			return err
		}},
		{"payload", f.payload, func(b []byte) error {
			edit.Payload = json.RawMessage(b)
			return json.Unmarshal(b, &map[string]json.RawMessage{})
		}},
		{"payload-base64", f.payloadBase64, func(b []byte) error {
			text := strings.Join(strings.Fields(string(b)), "")
			edit.PayloadBase64 = &text
			return nil
		}},
	} {
		if from.file == "" {
			continue
		}
		b, err := contents(cmd, from.file)
		if err == nil {
			err = from.take(b)
		}
		if err != nil {
			return edit, "", fmt.Errorf("--%s %s: %w", from.flag, from.file, err)
		}
	}
	return edit, "", nil
}

func contents(cmd *cobra.Command, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(file)
}

// inEditor lets the user edit the document.
func inEditor(cmd *cobra.Command, before document) (after document, file string, err error) {
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		return after, "", errors.New("no editor: set EDITOR, or say what to change with --file, --payload, --payload-base64 or --set-header")
	}
	f, err := os.CreateTemp("", "dead-letter-*.json")
	if err != nil {
		return after, "", err
	}
	file = f.Name()
	err = errors.Join(printJSON(f, before), f.Close())
	if err == nil {
		// By the shell, because EDITOR may contain arguments ("code --wait"), as in git.
		run := exec.CommandContext(cmd.Context(), "sh", "-c", editor+` "$1"`, "sh", file)
		run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), os.Stdout, os.Stderr
		if err = run.Run(); err != nil {
			err = fmt.Errorf("%s: %w", editor, err)
		}
	}
	if err != nil {
		os.Remove(file)
		return after, "", err
	}
	b, err := os.ReadFile(file)
	if err == nil {
		after, err = parseDocument(b)
	}
	if err != nil {
		return after, "", fmt.Errorf("%s, which is kept: %w", file, err)
	}
	return after, file, nil
}
