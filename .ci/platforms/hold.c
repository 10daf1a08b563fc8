/* hold FILE MS SECONDS: as an antivirus does, opens the file for MS milliseconds whenever it is there, so that meanwhile it
   can be neither replaced nor deleted. Built with -municode. */
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **arguments) {
  if (count != 4) return 2;
  const DWORD hold = _wtoi(arguments[2]), end = 1000 * _wtoi(arguments[3]), start = GetTickCount();
  int times = 0;
  while (GetTickCount() - start < end) {
    HANDLE file = CreateFileW(arguments[1], GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, 0, OPEN_EXISTING, 0, 0);
    if (file != INVALID_HANDLE_VALUE) {
      times++;
      Sleep(hold);
      CloseHandle(file);
    }
    Sleep(1);
  }
  printf("held %d times\n", times);
  return times > 0 ? 0 : 1;
}
