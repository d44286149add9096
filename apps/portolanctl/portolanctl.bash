# SPDX-License-Identifier: BSD-2-Clause
#
# Completion of portolanctl(8) in bash: the program itself knows what may come, and asks the server for values.
_portolanctl() {
  local typed=${COMP_LINE:0:COMP_POINT} word
  local last=${typed##*[[:space:]]}
  # bash takes what is behind a colon for a word of its own, and only that is replaced.
  local kept=""
  if [[ $last == *:* ]]; then kept=${last%"${last##*:}"}; fi
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("${word#"$kept"}")
  done < <("$1" --complete "${typed#*[[:space:]]}" 2>/dev/null)
}
complete -F _portolanctl portolanctl
