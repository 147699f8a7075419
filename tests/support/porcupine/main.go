// Judges a history of one or more registers: is there an order of the operations, each at a moment
// between its call and its return, that explains every answer? (Herlihy and Wing 1990; the search
// is porcupine's.)
//
// Standard input: one JSON array of operations. Exit status 0: there is one for every register.
// 1: not for those that are printed, one a line. 2: the input is not understood.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// Operation is one request and its answer. Kind is "read" (Value: what was read), "write" (Value:
// what was written) or "swap" (Expected → Value). Answer is "yes", "no" (a swap that was refused),
// or "unknown": it may have taken effect at any time since the call, or never.
type Operation struct {
	Register string  `json:"register"`
	Client   int     `json:"client"`
	Kind     string  `json:"kind"`
	Expected string  `json:"expected"`
	Value    string  `json:"value"`
	Answer   string  `json:"answer"`
	Call     float64 `json:"call"`
	Return   float64 `json:"return"`
}

var register = porcupine.NondeterministicModel{
	Init: func() []interface{} { return []interface{}{""} },
	Step: func(state, input, output interface{}) []interface{} {
		held, asked := state.(string), input.(Operation)
		switch {
		case asked.Kind == "read":
			if asked.Value == held {
				return []interface{}{held}
			}
		case asked.Kind == "write" && asked.Answer == "yes":
			return []interface{}{asked.Value}
		case asked.Kind == "write" && asked.Answer == "unknown":
			return []interface{}{held, asked.Value}
		case asked.Kind == "swap" && asked.Answer == "yes":
			if asked.Expected == held {
				return []interface{}{asked.Value}
			}
		case asked.Kind == "swap" && asked.Answer == "no":
			if asked.Expected != held {
				return []interface{}{held}
			}
		case asked.Kind == "swap" && asked.Answer == "unknown":
			if asked.Expected == held {
				return []interface{}{held, asked.Value}
			}
			return []interface{}{held}
		}
		return nil
	},
	Equal: func(one, other interface{}) bool { return one == other },
}

func main() {
	var given []Operation
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	byRegister := map[string][]porcupine.Operation{}
	for _, each := range given {
		end := int64(math.MaxInt64)
		if each.Answer != "unknown" {
			end = int64(each.Return * 1e9)
		}
		byRegister[each.Register] = append(byRegister[each.Register], porcupine.Operation{
			ClientId: each.Client, Input: each, Output: each, Call: int64(each.Call * 1e9), Return: end,
		})
	}
	names := make([]string, 0, len(byRegister))
	for name := range byRegister {
		names = append(names, name)
	}
	sort.Strings(names)
	status := 0
	for _, name := range names {
		result := porcupine.CheckOperationsTimeout(
			register.ToModel(), byRegister[name], 5*time.Minute)
		if result != porcupine.Ok {
			fmt.Println(name, result)
			status = 1
		}
	}
	os.Exit(status)
}
