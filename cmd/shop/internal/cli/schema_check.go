package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/ops/contract"
)

const schemaCheckHelp = `Compares each schema with the released versions of its subject, at the level at which services
register it: FULL_TRANSITIVE for topics that keep their records for ever, with all versions in
both directions, and BACKWARD otherwise, with the newest version. A subject that is not in the
catalogue yet is checked at FULL_TRANSITIVE.

A breach is listed with its place, such as

  eventshop.order.v1.OrderCreated/items[]/unitPrice: long cannot be read as int (reader:
  version 1, writer: current)

where [] is an item of a list, {} a value of a map, and <name> a type of a union. A released
subject without a schema is a breach, and so is a released file that has changed. A schema that
is not released yet is listed, and is no breach without --strict.

The exit code is 1 when there is a breach.`

func schemaCheckCommand(f *schemaFlags) *cobra.Command {
	strict := false
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Lists the schemas that differ from those released; exit code 1 when one may not",
		Long:  schemaCheckHelp,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := f.folder()
			if err != nil {
				return err
			}
			c, err := contract.Read(dir, levelOf)
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(f.out, c)
			} else {
				f.printContract(c)
			}
			switch n := len(c.Unreleased()); {
			case err != nil:
				return err
			case c.Breached():
				return errors.New("the contract is breached")
			case strict && n > 0:
				return fmt.Errorf("%s not released: shop schema release", plural(n, "schema is", "schemas are"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for schemas that are not released too, as before a deployment")
	return cmd
}
