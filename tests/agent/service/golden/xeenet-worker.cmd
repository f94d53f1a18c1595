@echo off
rem Written by 'xeenet-worker service install'; 'xeenet-worker service remove' takes it away.
rem The paths below are UTF-8.
chcp 65001 >nul
cd /d "C:\Früh & spät\100%% it's; $HOME ^x!"
start "XeeNet worker" /min "C:\Früh & spät\100%% it's; $HOME ^x!\pythonw.exe" "-m" "workers.agent" "supervised" "--restart" "--log-level" "warning" "--state-dir" "D:\Früh & spät\100%% it's; $HOME ^x!\state" "--drain-seconds" "30"
