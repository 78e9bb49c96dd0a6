package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"
)

// emptied names a flag that was given an empty value, as a script's variable may be, and
// that selects more without one than was meant.
func emptied(cmd *kong.Context) error {
	for _, p := range cmd.Path {
		if p.Flag != nil && p.Flag.Tag.Has("nonempty") && p.Flag.Target.IsZero() {
			return exit{exitUsage, fmt.Errorf("--%s: is empty; leave it out to select without it", p.Flag.Name)}
		}
	}
	return nil
}

// validate asks every settings struct embedded in a command whether it can work.
// kong itself asks only the command. All that is wrong is told at once.
func validate(command reflect.Value) error {
	var errs []error
	var told []string
	tell := func(err error) {
		if err != nil && !slices.Contains(told, err.Error()) { // an embedded struct's method is its owner's too
			told = append(told, err.Error())
			errs = append(errs, err)
		}
	}
	ask(command, tell)
	return errors.Join(errs...)
}

func ask(v reflect.Value, tell func(error)) {
	if v.Kind() != reflect.Struct {
		return
	}
	for field, value := range v.Fields() {
		if !field.Anonymous && !field.IsExported() {
			continue
		}
		ask(value, tell)
		if !value.CanInterface() { // embedded by a name that is not exported: its fields were asked
			continue
		}
		if c, ok := reflect.TypeAssert[interface{ Validate() error }](value); ok {
			tell(c.Validate())
		}
	}
}
